"""Design-space exploration: spaces, evaluation, results store, Pareto fronts."""
