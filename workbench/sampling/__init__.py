"""How text is drawn and judged."""
