/*
 * cli_documents: what is kept in files under version control and applied to a server: rules and
 * device types. Each is a JSON object with a name; the server has it under collection/NAME, with
 * an ETag.
 *
 * The functions are the verbs of a subcommand: they give exit codes and have said what is wrong.
 * Threads: one.
 */
#pragma once

#include <jansson.h>

#include "app/cli.h"

struct cli_document_kind {
    const char *noun;       /* "rule" */
    const char *plural;     /* "rules" */
    const char *collection; /* "/v1/rules" */
    const char *deleted;    /* words after `delete` */
};

/* Creates or updates every document in the files and folders argv: YAML, JSON, or JSON objects one
 * after the other, as `fleet rules` prints them; "-" is standard input. What is the same already is
 * left. With --prune what the files do not have is deleted, if all of them could be read. */
int cli_documents_apply(const struct cli_call *c, const struct cli_document_kind *kind);
/* Says what that would do, with the differences; with --check the exit code is 1 when it would do
 * anything. */
int cli_documents_plan(const struct cli_call *c, const struct cli_document_kind *kind);
/* Prints the document named argv[0]; with --bare without what the server added. */
int cli_documents_show(const struct cli_call *c, const struct cli_document_kind *kind);
int cli_documents_delete(const struct cli_call *c, const struct cli_document_kind *kind);

/* A file as one array: its documents, and the members of documents that are lists. NULL: said what
 * is wrong. */
json_t *cli_documents_read(const struct cli_call *c, const char *file);
/* Appends the path, or for a folder those of the .yaml, .yml and .json files in it, by name. */
int cli_documents_files(const struct cli_call *c, const char *path, json_t *ret_files);
