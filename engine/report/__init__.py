"""Reports: what a day, a week or a backtest came to, as one HTML file that asks nothing of anybody."""
