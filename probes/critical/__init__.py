"""How the critical token of a wrong response is found: samples, rollouts, rules, search, report."""
