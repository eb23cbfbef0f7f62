/*
 * commands: the subcommands of `signalbox fleet`; one file each. argv[0] is the subcommand's name.
 */
#pragma once

int fleet_replay_main(int argc, char **argv);
int fleet_run_main(int argc, char **argv);
int fleet_csv_main(int argc, char **argv);
int fleet_rules_main(int argc, char **argv);
int fleet_types_main(int argc, char **argv);
int fleet_list_main(int argc, char **argv);
