/* Sweeps: lists of commands that anything may run, in any order and again; their tables; searches; job arrays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

static const char *const tiny_sweep =
    "spec: spec.yaml\n"
    "rows:\n"
    "  cosine: {}\n"
    "  linear:\n"
    "    network.layers[0].operator.angular: linear\n"
    "columns:\n"
    "  plain: {\"network.layers[3].bias\": false}\n"
    "  margin: {\"network.layers[3].bias\": false, loss: {type: a_softmax, margin: 2}}\n";

#define LIST "\"$SPHERENET\" sweep list "

static void expect_shell(int status, const char *command) {
    int ended = shell(command);
    ck_assert_msg(ended == status, "%d: %s", ended, command);
}

static int occurrences(const char *text, const char *part) {
    int count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

/* Lines of a list. */
static int count_lines(const char *text) {
    return occurrences(text, "\n");
}

static void expect_in(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "%s is not in %s", part, text);
}

/* --- Lists ------------------------------------------------------------------------------------------------------- */

/* The last accuracy of a run, as its own table has it. */
static const char *last_accuracy(const char *name) {
    char *text = arena_alloc(&arena, 32);
    const char *row = strstr(read_text(arena_printf(&arena, "sweep/%s/eval.csv", name)), "\n24,");
    ck_assert_ptr_nonnull(row);
    ck_assert_int_eq(sscanf(row, "\n24,%*[^,],test,%*[^,],%31[^,],", text), 1);
    return text;
}

START_TEST(a_list_has_a_command_for_every_row_column_and_seed) {
    disk_write_text("tiny.sweep", tiny_sweep);
    run(0, "sweep list tiny.sweep --seeds 1,2 --out sweep");
    ck_assert_int_eq(count_lines(output), 8);
    expect_output(" train --quiet --auto-resume --run-dir sweep/linear_margin_s2 "
                  "--set 'network.layers[0].operator.angular=linear' --set 'network.layers[3].bias=false' "
                  "--set 'loss={type: a_softmax, margin: 2}' --set seed=2 --set name=linear_margin_s2 -- spec.yaml\n");
    ck_assert(!disk_exists("sweep"));
    expect_shell(0, LIST "tiny.sweep --seeds 1,2 --out sweep | xargs -d '\\n' -n 1 -P 2 sh -c");
    run(0, "sweep table tiny.sweep --seeds 1,2 --out sweep");
    ck_assert_str_eq(output, read_text("sweep/table.md"));
    double mean = 0;
    for (int seed = 1; seed <= 2; seed++) {
        const char *accuracy = last_accuracy(arena_printf(&arena, "linear_margin_s%d", seed));
        expect_in(read_text("sweep/runs.csv"),
                  arena_printf(&arena, "\nlinear,margin,%d,finished,24,%s,", seed, accuracy));
        mean += 100 * atof(accuracy) / 2;
    }
    const char *row = strstr(output, "| linear |");
    ck_assert_ptr_nonnull(row);
    ck_assert_double_eq_tol(atof(strchr(row + 10, '|') + 1), mean, 0.0051);
    const char *settings = "loss:\n  type: a_softmax\n";
    expect_in(read_text("sweep/linear_margin_s2/spec.yaml"), settings);
    ck_assert_ptr_null(strstr(read_text("sweep/linear_plain_s2/spec.yaml"), settings));
}
END_TEST

START_TEST(a_columns_value_counts_before_a_rows_and_that_before_an_option) {
    disk_write_text("a.sweep", "spec: spec.yaml\nrows: {r: {train.keep: 2, train.log_every: 2}}\n"
                               "columns: {c: {train.log_every: 3}}\n");
    run(0, "sweep list a.sweep --set train.keep=1 --set train.log_every=1 --set train.eval_every=12 >list");
    expect_shell(0, "sh list");
    const char *spec = read_text("runs/a/r_c_s1/spec.yaml");
    expect_in(spec, "  keep: 2\n");
    expect_in(spec, "  log_every: 3\n");
    expect_in(spec, "  eval_every: 12\n");
}
END_TEST

START_TEST(values_reach_the_run_as_the_file_has_them) {
    disk_write_text("a.sweep", "spec: spec.yaml\n"
                               "rows:\n"
                               "  r:\n"
                               "    train.init_map: {'it''s': \"a, \\\"b\\\": $HOME\\n\", c.: ''}\n"
                               "    network.layers[0].name: 'two words'\n"
                               "    schedule: {type: step, milestones: [3, 5]}\n"
                               "    train.threads: null\n");
    run(0, "sweep list a.sweep");
    ck_assert_int_eq(count_lines(output), 1);
    run(0, "show spec.yaml --set 'schedule={type: step, milestones: [3, 5]}' --set 'network.layers[0].name=two words' "
           "--set seed=1 --set name=r_s1 --set train.threads=null "
           "--set 'train.init_map={\"it'\"'\"'s\": \"a, \\\"b\\\": $HOME\\n\", c.: \"\"}'");
    const char *expected = strchr(output, '\n');
    expect_shell(0, LIST "a.sweep | sed 's/ train --quiet --auto-resume --run-dir [^ ]*/ show/' | sh >shown.txt");
    ck_assert_str_eq(strchr(read_text("shown.txt"), '\n'), expected);
}
END_TEST

START_TEST(the_same_commands_again_change_nothing) {
    disk_write_text("tiny.sweep", tiny_sweep);
    run(0, "sweep list tiny.sweep --out sweep >list");
    expect_shell(0, "sh -e list");
    run(0, "sweep table tiny.sweep --out sweep");
    const char *table = output, *curve = read_text("sweep/linear_plain_s1/train.csv");
    expect_shell(0, "rm -r sweep/cosine_plain_s1 && sh -e list");
    run(0, "sweep table tiny.sweep --out sweep");
    ck_assert_str_eq(output, table);
    ck_assert_str_eq(read_text("sweep/linear_plain_s1/train.csv"), curve);
}
END_TEST

START_TEST(a_run_that_was_stopped_goes_on_by_the_same_command) {
    disk_write_text("a.sweep", "spec: spec.yaml\nrows: {r: {}}\n");
    run(0, "sweep list a.sweep >list");
    expect_shell(0, "sed 's/--quiet/--quiet --until 13/' list | sh");
    expect_shell(0, LIST "a.sweep --unfinished | cmp - list");
    expect_shell(0, "sh list");
    run(0, "sweep list a.sweep --unfinished");
    ck_assert_str_eq(output, "");
    run(0, "train spec.yaml --set name=r_s1");
    expect_same_runs("runs/a/r_s1", "runs/r_s1");
}
END_TEST

START_TEST(a_sweep_may_have_seeds_alone) {
    disk_write_text("a.sweep", "spec: spec.yaml\nseeds: [3, 4]\n");
    expect_shell(0, LIST "a.sweep | sh -e");
    run(0, "sweep table a.sweep");
    expect_output("| a   | ");
    expect_in(read_text("runs/a/runs.csv"), "\n,,4,finished,24,");
}
END_TEST

START_TEST(the_spec_is_beside_the_sweep) {
    expect_shell(0, "mkdir there && mv spec.yaml there/tiny.yaml");
    disk_write_text("there/a.sweep", "\xef\xbb\xbfspec: tiny.yaml\n");
    run(0, "sweep list there/a.sweep");
    expect_output(" -- there/tiny.yaml\n");
}
END_TEST

/* --- Tables ------------------------------------------------------------------------------------------------------ */

/* By rows: nothing is there, a run under way, one that diverged, one of another spec. */
START_TEST(a_table_tells_how_far_each_run_has_come) {
    disk_write_text("a.sweep",
                    "spec: spec.yaml\nrows: {none: {}, some: {}, bad: {optimizer: {type: sgd, learning_rate: 100}},\n"
                    "  other: {}}\n");
    run(0, "sweep list a.sweep >list");
    expect_shell(0, "sed -n '2s/--quiet/--quiet --until 13/p' list | sh");
    expect_shell(1, "sed -n 3p list | sh 2>errors.txt");
    expect_shell(0, "sed -n '4s/ -- / --set optimizer.learning_rate=1e-3 -- /p' list | sh");
    run(0, "sweep table a.sweep");
    expect_output("| none  |            – |\n| some  | ");
    expect_output(" so far |\n| bad   |       failed |\n| other |       failed |\n");
    expect_output("- runs: 4, 1 unfinished, 1 absent, 1 failed, 1 other\n- failed bad_s1: iteration ");
    expect_output("- other other_s1: runs/a/other_s1: the run began with another spec; ");
    expect_output("optimizer.learning_rate: it had 0.001, now 0.01");
    const char *runs = read_text("runs/a/runs.csv");
    expect_in(runs, "\nnone,,1,absent,0,,,,,runs/a/none_s1,\nsome,,1,unfinished,12,0.");
    expect_in(runs, "\nbad,,1,failed,0,,,,,runs/a/bad_s1,\"iteration ");
    expect_shell(0, LIST "a.sweep --unfinished | cut -d ' ' -f 6 >folders");
    ck_assert_str_eq(read_text("folders"), "runs/a/none_s1\nruns/a/some_s1\n");
}
END_TEST

START_TEST(longer_runs_of_the_same_spec_go_on) {
    disk_write_text("tiny.sweep", tiny_sweep);
    expect_shell(0, LIST "tiny.sweep --set schedule=constant --set train.iterations=6 | sh -e");
    run(0, "sweep table tiny.sweep --set schedule=constant");
    expect_output("- runs: 4, 4 unfinished\n");
    expect_shell(0, LIST "tiny.sweep --set schedule=constant | sh -e");
    run(0, "sweep table tiny.sweep --set schedule=constant");
    expect_output("- runs: 4, 4 finished\n");
}
END_TEST

START_TEST(the_validation_images_choose_the_best_test) {
    disk_write_text("tiny.sweep", "spec: spec.yaml\nrows: {a: {}}\n"
                                  "columns: {b: {data.validation: 16, schedule: constant, train.patience: 4,\n"
                                  "  optimizer.learning_rate: 0.3, train.eval_every: 3, train.iterations: 400}}\n");
    expect_shell(0, LIST "tiny.sweep | sh -e");
    run(0, "sweep table tiny.sweep");
    expect_output("which the validation images have chosen:\n");
    expect_output("- runs: 1, 1 finished\n");
    int last, best;
    double final, accuracy, validation = -1, test = NAN, line_accuracy;
    ck_assert_int_eq(sscanf(strstr(read_text("runs/tiny/runs.csv"), "\na,b,1,"), "\na,b,1,finished,%d,%lf,%lf,%d,",
                            &last, &final, &accuracy, &best),
                     4);
    ck_assert_int_lt(last, 400);
    int chosen = 0, iteration;
    char split[16];
    for (const char *line = read_text("runs/tiny/a_b_s1/eval.csv"); (line = strchr(line, '\n')) && line[1]; line++) {
        ck_assert_int_eq(sscanf(line, "\n%d,%*[^,],%15[^,],%*[^,],%lf", &iteration, split, &line_accuracy), 3);
        if (!strcmp(split, "validation") && line_accuracy > validation) {
            validation = line_accuracy;
            chosen = iteration;
        } else if (!strcmp(split, "test") && iteration == chosen) {
            test = line_accuracy;
        }
    }
    ck_assert_int_eq(best, chosen);
    ck_assert_double_eq(accuracy, test);
}
END_TEST

/* --- Mistakes ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *message;
} wrong_sweeps[] = {
    {"", "a.sweep:"},
    {"- a\n", "a.sweep:1: a sweep is a map of keys: spec, rows, columns, seeds, search\n"},
    {"rows: {a: {}}\n", "a.sweep:1: spec: missing; expected "},
    {"spec: spec.yaml\nrwos: 1\n",
     "a.sweep:2: rwos: unknown key \"rwos\"; did you mean \"rows\"? (spec, rows, columns, seeds, search)\n"},
    {"spec: nowhere.yaml\n", "nowhere.yaml: "},
    {"spec: spec.yaml\nrows: [a]\n", "a.sweep:2: rows: expected names, each with the keys that it sets"},
    {"spec: spec.yaml\nrows: {a: x}\n", "a.sweep:2: rows.a: expected the keys that it sets, as in {network."},
    {"spec: spec.yaml\ncolumns: {b/c: {}}\n", "a.sweep:2: columns: \"b/c\": expected a name that begins with a letter"},
    {"spec: spec.yaml\nrows:\n  a:\n    seed: 2\n", "a.sweep:4: seed: seeds are listed under `seeds`"},
    {"spec: spec.yaml\nrows: {a: {name: b}}\n", "a.sweep:2: name: the sweep names its runs\n"},
    {"spec: spec.yaml\nrows: {a: {}, a_b: {}}\ncolumns: {c: {}, b_c: {}}\n",
     "a.sweep: a_b_c_s1: two runs have this folder; expected names that make different folders ROW_COLUMN\n"},
    {"spec: spec.yaml\nseeds: 3\n", "a.sweep:2: seeds: expected a list, as in [1, 2, 3]\n"},
    {"spec: spec.yaml\nseeds: [1, x]\n", "a.sweep:2: seeds: x: expected whole numbers from 0 to 2147483647, each once"},
    {"spec: spec.yaml\nseeds: [2, 2]\n", "a.sweep:2: seeds: 2: expected whole numbers"},
    {"spec: spec.yaml\nrows:\n  a: {}\n  a: {}\n", "a.sweep:4: rows: \"a\" was given before; keep one of the two\n"},
    {"spec: spec.yaml\nrows: {a: {}\n", "a.sweep:3: not valid YAML: "},
    {"spec: spec.yaml\nrows:\n  a: {}\n  b:\n    train.keep: x\ncolumns: {c: {}, d: {}}\nseeds: [1, 2]\n",
     "a.sweep:5: train.keep: found \"x\"; expected a whole number from 0 to 1000000\n"
     "a.sweep: 1 mistake; nothing was listed\n"},
    {"spec: spec.yaml\nrows: {a: {\"network.layers[9].bias\": x}}\n",
     "a.sweep:2: layers[9]: no element 9 (the list is shorter)\n"},
    {"spec: spec.yaml\nrows: {a: {}, b: {data.width: 1}}\n", " (run b_s1)\n"},
    {"spec: spec.yaml\nsearch: {trials: 2}\n", "a.sweep:2: search: expected both trials, at least 1, and ranges\n"},
    {"spec: spec.yaml\nrows: {a: {}}\nsearch: {trials: 2, ranges: {train.keep: {choices: [1]}}}\n",
     "a.sweep:3: search: its trials are the rows; expected no others under `rows`\n"},
    {"spec: spec.yaml\nsearch: {halving: {from: 6}}\n", "search.halving: expected trials and ranges beside it\n"},
    {"spec: spec.yaml\nsearch: {trials: 2, ranges: {train.keep: {uniform: [2, 1]}}}\n",
     "a.sweep:2: search.ranges: train.keep: expected {log_uniform: [LOW, HIGH]} with 0 < LOW < HIGH"},
    {"spec: spec.yaml\nsearch:\n  trials: 2\n  ranges:\n    optimizer.learning_rate: {log_uniform: [0, 1]}\n",
     "a.sweep:5: search.ranges: optimizer.learning_rate: expected "},
    {"spec: spec.yaml\nsearch:\n  trials: 9\n  ranges:\n    optimizer.learning_rate: {uniform: [200, 300]}\n",
     "a.sweep:5: optimizer.learning_rate: found \"2"},
    {"spec: spec.yaml\nsearch: {trials: 2, ranges: {seed: {choices: [1]}}}\n",
     "a.sweep:2: search.ranges: the sweep itself sets seed\n"},
    {"spec: spec.yaml\nsearch: {trials: 2, ranges: {train.keep: {choices: [1]}}, halving: {from: 7}}\n",
     "search.halving.from: 7: expected a multiple of train.eval_every, which is 6, below train.iterations, which is "
     "24"},
    {"spec: spec.yaml\nsearch: {trials: 2, ranges: {train.keep: {choices: [1]}}, halving: {factor: 1}}\n",
     "a.sweep:2: search.halving.factor: found \"1\"; expected a whole number from 2 to 100\n"},
};

START_TEST(a_sweep_with_mistakes_lists_nothing) {
    disk_write_text("a.sweep", wrong_sweeps[_i].text);
    run(2, "sweep list a.sweep");
    expect_error(wrong_sweeps[_i].message);
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(wrong_words_of_the_command_line_are_told) {
    disk_write_text("a.sweep", "spec: spec.yaml\n");
    run(2, "sweep lst a.sweep");
    expect_error("spherenet sweep: \"lst\"; did you mean \"list\"?; expected list, slurm or table\n");
    run(2, "sweep list");
    expect_error("list|slurm|table SWEEP is missing");
    run(2, "sweep list a.sweep --seeds 1,,2");
    expect_error("--seeds: seeds: : expected whole numbers");
    run(2, "sweep list a.sweep --set seed=2");
    expect_error("--set seed=2: seed: seeds are listed under `seeds`, or given with --seeds\n");
    disk_write_text("b.sweep", "spec: spec.yaml\nrows: {a: {}, b: {}}\n");
    run(2, "sweep list b.sweep --set train.keep=x");
    ck_assert_str_eq(errors, "--set train.keep=x: train.keep: found \"x\"; expected a whole number from 0 to 1000000\n"
                             "b.sweep: 1 mistake; nothing was listed\n");
    run(2, "sweep list nowhere.sweep");
    expect_error("nowhere.sweep: ");
    run(2, "sweep slurm a.sweep --set train.threads=0");
    expect_error("train.threads is not given; a job wants to know it: --set train.threads=4\n");
}
END_TEST

/* --- Ends before the end ----------------------------------------------------------------------------------------- */

START_TEST(a_run_ends_after_the_iteration_of_until_and_goes_on_to_the_same_bits) {
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --until 13");
    expect_output("ended at iteration 13, as --until asked; --resume goes on\n");
    expect_link("runs/tiny", "latest", 13);
    run(0, "train spec.yaml --auto-resume --until 13");
    expect_link("runs/tiny", "latest", 13);
    run(0, "train spec.yaml --auto-resume --until 100");
    expect_output("done: ");
    expect_same_runs("runs/tiny", "whole");
}
END_TEST

static const char *const wrong_ends[] = {"0", "-1", "x", "1x", "''", "3000000000"};

START_TEST(until_is_an_iteration) {
    run(2, "train spec.yaml --until %s", wrong_ends[_i]);
    expect_error("expected an iteration, a whole number from 1 to 2147483647\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* --- Searches ---------------------------------------------------------------------------------------------------- */

#define SEARCH(TRIALS, MORE)                                                                                           \
    "spec: spec.yaml\n"                                                                                                \
    "search:\n"                                                                                                        \
    "  trials: " TRIALS "\n"                                                                                           \
    "  ranges:\n"                                                                                                      \
    "    optimizer.learning_rate: {log_uniform: [1e-4, 1e-1]}\n"                                                       \
    "    optimizer.beta1: {uniform: [0.5, 0.9]}\n"                                                                     \
    "    network.layers[0].operator.angular: {choices: [linear, cosine]}\n" MORE

START_TEST(trials_are_drawn_from_their_ranges) {
    disk_write_text("a.sweep", SEARCH("400", ""));
    run(0, "sweep list a.sweep");
    int trials = 0, linear = 0, low_rates = 0, low_betas = 0;
    for (const char *at = output; (at = strstr(at, "optimizer.learning_rate=")); at++, trials++) {
        double rate, beta;
        char name[8];
        ck_assert_int_eq(sscanf(at,
                                "optimizer.learning_rate=%lf --set optimizer.beta1=%lf --set "
                                "'network.layers[0].operator.angular=%7[a-z]'",
                                &rate, &beta, name),
                         3);
        ck_assert(rate >= 1e-4 && rate <= 1e-1 && beta >= 0.5 && beta <= 0.9);
        low_rates += rate < sqrt(1e-4 * 1e-1);
        low_betas += beta < 0.7;
        linear += !strcmp(name, "linear");
    }
    ck_assert_int_eq(trials, 400);
    ck_assert(abs(low_rates - 200) < 50 && abs(low_betas - 200) < 50 && abs(linear - 200) < 50);
}
END_TEST

START_TEST(more_trials_leave_those_before_as_they_were) {
    disk_write_text("a.sweep", SEARCH("4", ""));
    run(0, "sweep list a.sweep >four");
    disk_write_text("a.sweep", SEARCH("8", ""));
    run(0, "sweep list a.sweep >eight");
    expect_shell(0, "head -n 4 eight | cmp - four");
    disk_write_text("a.sweep", SEARCH("8", "  seed: 2\n"));
    run(0, "sweep list a.sweep >others");
    expect_shell(1, "cmp -s eight others");
}
END_TEST

/* One round: the runs that go on, by the iteration that they go to. */
static void expect_round(const char *runs) {
    run(0, "sweep list --unfinished a.sweep >round");
    expect_shell(0, "sed 's|.*--run-dir runs/a/\\([^ ]*\\)\\( --until [0-9]*\\)*.*|\\1\\2|' round | cut -d ' ' -f 2- | "
                    "sort | uniq -c | tr -d ' \\n' >counts");
    ck_assert_str_eq(read_text("counts"), runs);
    expect_shell(0, "xargs -d '\\n' -n 1 -P 2 sh -c <round 2>errors.txt || true");
}

/* The score of a trial at the end of a round. */
static double score_at(int trial, int iteration) {
    double best = -1;
    const char *line = read_text(arena_printf(&arena, "runs/a/t%d_s1/eval.csv", trial));
    for (; (line = strchr(line, '\n')) && line[1]; line++) {
        double accuracy;
        int at;
        ck_assert_int_eq(sscanf(line, "\n%d,%*[^,],test,%*[^,],%lf", &at, &accuracy), 2);
        best = at <= iteration ? fmax(best, accuracy) : best;
    }
    return best;
}

START_TEST(halving_goes_on_with_the_best) {
    disk_write_text("a.sweep", SEARCH("9", "  halving: {from: 6, factor: 2}\n"));
    expect_round("9--until6");
    expect_round("4--until12");
    run(0, "sweep list --unfinished a.sweep");
    bool goes_on[10];
    double worst_kept = 1, best_dropped = 0;
    for (int trial = 1; trial <= 9; trial++) {
        const char *curve = read_text(arena_printf(&arena, "runs/a/t%d_s1/eval.csv", trial));
        goes_on[trial] = strstr(curve, "\n12,");
        if (goes_on[trial])
            worst_kept = fmin(worst_kept, score_at(trial, 6));
        else
            best_dropped = fmax(best_dropped, score_at(trial, 6));
    }
    ck_assert_double_ge(worst_kept, best_dropped);
    run(0, "sweep list --unfinished a.sweep");
    ck_assert_int_eq(count_lines(output), 2);
    expect_shell(0, LIST "--unfinished a.sweep | sh -e");
    run(0, "sweep list --unfinished a.sweep");
    ck_assert_str_eq(output, "");
    run(0, "sweep table a.sweep");
    expect_output("- runs: 9, 2 finished, 7 dropped\n");
    run(0, "sweep list a.sweep >all");
    expect_shell(0, "sh -e all");
    run(0, "sweep table a.sweep");
    expect_output("- runs: 9, 2 finished, 7 dropped\n");
}
END_TEST

/* A trial that was trained in rounds has the bits of one that was never stopped. */
START_TEST(a_trial_of_a_search_is_a_run_like_any_other) {
    disk_write_text("a.sweep", SEARCH("3", "  halving: {from: 6, factor: 3}\n"));
    expect_round("3--until6");
    run(0, "sweep list --unfinished a.sweep >last");
    ck_assert_int_eq(count_lines(read_text("last")), 1);
    expect_shell(0, "sh last && sed 's|--run-dir runs/a/|--run-dir whole/|' last | sh && mv whole/* whole/run && "
                    "mv runs/a/$(sed 's|.*--run-dir runs/a/\\([^ ]*\\).*|\\1|' last) rounds");
    expect_same_runs("rounds", "whole/run");
}
END_TEST

START_TEST(trials_that_fail_do_not_hold_up_the_others) {
    disk_write_text("a.sweep", "spec: spec.yaml\nsearch:\n  trials: 6\n  seed: 3\n  ranges:\n"
                               "    optimizer: {choices: [{type: sgd, learning_rate: 100}, adam]}\n"
                               "  halving: {from: 6, factor: 2}\n");
    expect_round("6--until6");
    run(0, "sweep table a.sweep");
    int failed = occurrences(read_text("runs/a/runs.csv"), ",failed,");
    ck_assert(failed > 0 && failed < 4);
    run(0, "sweep list --unfinished a.sweep");
    ck_assert_int_eq(count_lines(output), 3);
    ck_assert_int_eq(occurrences(output, "optimizer=adam"), 3);
}
END_TEST

/* --- Slurm ------------------------------------------------------------------------------------------------------- */

static bool has_bash(void) {
    return !shell("command -v bash >/dev/null");
}

#define LONG_SPEC "train.iterations: 400, train.checkpoint_every: 100"

/* The script, and a scontrol that notes what it is asked. */
static void make_script(void) {
    disk_write_text("a.sweep", "spec: spec.yaml\nrows: {a: {}, b: {" LONG_SPEC "}}\n");
    run(0, "sweep slurm a.sweep --set train.threads=2 >job.sh");
    disk_write_text("scontrol", "#!/bin/sh\necho \"$@\" >asked\n");
    expect_shell(0, "chmod +x scontrol");
}

START_TEST(a_job_array_has_a_task_for_each_run) {
    SKIP_IF(!has_bash(), "bash is not installed");
    make_script();
    const char *script = read_text("job.sh");
    expect_in(script, "#!/bin/bash\n#SBATCH --job-name=a\n#SBATCH --array=1-2\n#SBATCH --ntasks=1\n"
                      "#SBATCH --cpus-per-task=2\n#SBATCH --output=runs/a/slurm-%a.log\n");
    expect_in(script, "\n#SBATCH --requeue\n");
    expect_in(script, "train.threads=2");
    ck_assert(disk_exists("runs/a"));
    expect_shell(0, "SLURM_ARRAY_TASK_ID=1 bash job.sh");
    run(0, "sweep table a.sweep");
    expect_output("- runs: 2, 1 finished, 1 absent\n");
    ck_assert(!disk_exists("asked"));
    run(0, "sweep slurm a.sweep --unfinished");
    expect_output("\n#SBATCH --array=1-1\n");
    expect_shell(0, LIST "a.sweep | sh -e");
    run(1, "sweep slurm a.sweep --unfinished");
    expect_error("a.sweep: nothing is left to run\n");
}
END_TEST

/* $1: kill the shell, as before the time limit, or the whole group, as when the task is requeued. */
#define SIGNALLED(KILL)                                                                                                \
    "set -m; PATH=$PWD:$PATH SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=2 bash job.sh & "                                      \
    "until grep -q '^6,' runs/a/b_s1/eval.csv 2>/dev/null; do sleep 0.01; done; " KILL "; wait $!"

static const struct {
    const char *kill;
    int status;
    const char *asked;
} signals[] = {{"kill -USR2 $!", 140, "requeue 7\n"}, {"kill -TERM -$!", 143, NULL}};

START_TEST(a_signal_of_slurm_leads_to_a_checkpoint_from_which_the_task_goes_on) {
    SKIP_IF(!has_bash(), "bash is not installed");
    make_script();
    disk_write_text("signalled.sh", arena_printf(&arena, SIGNALLED("%s"), signals[_i].kill));
    expect_shell(signals[_i].status, "bash signalled.sh 2>errors.txt");
    ck_assert_int_eq(disk_exists("asked"), signals[_i].asked != NULL);
    if (signals[_i].asked)
        ck_assert_str_eq(read_text("asked"), signals[_i].asked);
    const char *log = read_text("runs/a/b_s1/run.log"), *ended = strstr(log, "ended at iteration ");
    int iteration = 0, saved = -1;
    ck_assert_ptr_nonnull(ended);
    ck_assert_int_eq(sscanf(ended,
                            "ended at iteration %d by signal %*[^;]; the last checkpoint is that of iteration %d",
                            &iteration, &saved),
                     2);
    ck_assert_int_eq(iteration, saved);
    expect_shell(0, "SLURM_ARRAY_TASK_ID=2 bash job.sh");
    expect_shell(0,
                 "sed -n 's|^ *2) exec \\(.*\\)--run-dir runs/a/b_s1\\(.*\\) ;;|\\1--run-dir whole\\2|p' job.sh | sh");
    expect_same_runs("runs/a/b_s1", "whole");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("cli_sweep");
    TCase *lists = suite_group(suite, "lists", 120, program_set_up, program_tear_down);
    tcase_add_test(lists, a_list_has_a_command_for_every_row_column_and_seed);
    tcase_add_test(lists, a_columns_value_counts_before_a_rows_and_that_before_an_option);
    tcase_add_test(lists, values_reach_the_run_as_the_file_has_them);
    tcase_add_test(lists, the_same_commands_again_change_nothing);
    tcase_add_test(lists, a_run_that_was_stopped_goes_on_by_the_same_command);
    tcase_add_test(lists, a_sweep_may_have_seeds_alone);
    tcase_add_test(lists, the_spec_is_beside_the_sweep);

    TCase *tables = suite_group(suite, "tables", 120, program_set_up, program_tear_down);
    tcase_add_test(tables, a_table_tells_how_far_each_run_has_come);
    tcase_add_test(tables, longer_runs_of_the_same_spec_go_on);
    tcase_add_test(tables, the_validation_images_choose_the_best_test);

    TCase *mistakes = suite_group(suite, "mistakes", 60, program_set_up, program_tear_down);
    tcase_add_loop_test(mistakes, a_sweep_with_mistakes_lists_nothing, 0, COUNT(wrong_sweeps));
    tcase_add_test(mistakes, wrong_words_of_the_command_line_are_told);

    TCase *ends = suite_group(suite, "ends", 120, program_set_up, program_tear_down);
    tcase_add_test(ends, a_run_ends_after_the_iteration_of_until_and_goes_on_to_the_same_bits);
    tcase_add_loop_test(ends, until_is_an_iteration, 0, COUNT(wrong_ends));

    TCase *searches = suite_group(suite, "searches", 120, program_set_up, program_tear_down);
    tcase_add_test(searches, trials_are_drawn_from_their_ranges);
    tcase_add_test(searches, more_trials_leave_those_before_as_they_were);
    tcase_add_test(searches, halving_goes_on_with_the_best);
    tcase_add_test(searches, a_trial_of_a_search_is_a_run_like_any_other);
    tcase_add_test(searches, trials_that_fail_do_not_hold_up_the_others);

    TCase *slurm = suite_group(suite, "slurm", 120, program_set_up, program_tear_down);
    tcase_add_test(slurm, a_job_array_has_a_task_for_each_run);
    tcase_add_loop_test(slurm, a_signal_of_slurm_leads_to_a_checkpoint_from_which_the_task_goes_on, 0, COUNT(signals));
    return suite;
}
