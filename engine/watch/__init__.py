"""Watch: what people see of a run: the terminal view, rendered logs, explanations."""
