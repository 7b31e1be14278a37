"""What comes out: estimates, tables, arrays, views."""
