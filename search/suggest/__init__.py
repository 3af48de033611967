"""The choice of the next trial: searcher, proposer, samplers, and the Optuna study behind them."""
