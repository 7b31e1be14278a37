"""Checks that do not apply to a plugin, each with its reason."""

_OURS = "it is our own, after no paper"
_FILE = "it reads a file, whose problems come in order"
_FOUND = "a_planted_graph_is_found_and_lost_when_columns_are_shuffled"
_PLANTS = "it plants its own graphs and reads no table"
_LATENT = "its graph joins latent capabilities: tests/unit/causal/test_hierarchical.py"
_TRIALS = "it needs trials of the leaderboard's own models: tests/unit/causal/test_trials.py"
_DRAWS = "it draws its problems and reads no file"
_SYMBOLS = "few symbols: the answer of another sequence is often right as well"

SKIPS: dict[tuple[str, str], str] = {
    ("it_names_its_source", "discovery/recovery"): _OURS,
    ("it_names_its_source", "question/place"): _OURS,
    ("it_names_its_source", "refuter/held-out-domain"): _OURS,
    ("it_names_its_source", "task/arithmetic"): _OURS,
    ("it_names_its_source", "task/questions"): _OURS,
    ("it_names_its_source", "task/sums"): _OURS,
    **{
        (check, "question/trials"): _TRIALS
        for check in (
            "the_same_seed_gives_the_same_numbers",
            "numbers_are_finite_and_carry_their_unit",
            "views_name_what_the_result_holds",
            "every_column_is_described",
            "a_stored_result_comes_back_the_same",
        )
    },
    ("the_order_of_rows_does_not_move_the_graph", "discovery/recovery"): _PLANTS,
    ("the_order_of_rows_does_not_move_the_graph", "discovery/hierarchical"): _LATENT,
    (_FOUND, "discovery/recovery"): _PLANTS,
    (_FOUND, "discovery/hierarchical"): _LATENT,
    (_FOUND, "discovery/gin"): "its nodes are latent groups, which four columns do not hold",
    ("another_seed_draws_other_problems", "task/csqa"): _FILE,
    ("another_seed_draws_other_problems", "task/gsm8k"): _FILE,
    ("another_seed_draws_other_problems", "task/actual-causes"): _FILE,
    ("another_seed_draws_other_problems", "task/calm"): _FILE,
    ("another_seed_draws_other_problems", "task/harness"): _FILE,
    ("another_seed_draws_other_problems", "task/questions"): _FILE,
    ("reference_answers_are_right_and_those_of_others_wrong", "task/hidden-markov"): _SYMBOLS,
    ("reference_answers_are_right_and_those_of_others_wrong", "task/latent-class"): _SYMBOLS,
    ("a_file_that_is_missing_is_named", "task/arithmetic"): _DRAWS,
    ("a_file_that_is_missing_is_named", "task/chained-sums"): _DRAWS,
    ("a_file_that_is_missing_is_named", "task/graph-search"): _DRAWS,
    ("a_file_that_is_missing_is_named", "task/sums"): _DRAWS,
}

# A second training costs seconds, and the comparison of searches runs every one of them again;
# that a seed decides a chain of continuous thoughts is tested beside its training as well.
SLOW = {
    *(
        ("the_same_seed_gives_the_same_numbers", f"recipe/{name}")
        for name in ("cdpo", "coconut", "hybrid", "sentence-chain")
    ),
    ("the_same_seed_gives_the_same_numbers", "reasoner/coconut"),
    ("the_order_of_rows_does_not_move_the_graph", "discovery/side-by-side"),
    ("the_same_seed_gives_the_same_numbers", "discovery/side-by-side"),
    (_FOUND, "discovery/side-by-side"),
}
