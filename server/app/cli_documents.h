/*
 * cli_documents: what is kept in files under version control and applied to a server: rules and
 * device types. Each is a JSON object with a name; the server has it under collection/NAME, with
 * an ETag.
 *
 * The functions are the verbs of a subcommand: they give exit codes and have said what is wrong.
 * Threads: one.
 */
#pragma once

#include "app/cli.h"

struct cli_document_kind {
    const char *noun;       /* "rule" */
    const char *plural;     /* "rules" */
    const char *collection; /* "/v1/rules" */
    const char *deleted;    /* words after `delete` */
};

/* Creates or updates every document in the files argv: YAML, JSON, or JSON objects one after the
 * other, as `fleet rules` prints them; "-" is standard input. What is the same already is left. */
int cli_documents_apply(const struct cli_call *c, const struct cli_document_kind *kind);
/* Prints the document named argv[0]; with --bare without what the server added. */
int cli_documents_show(const struct cli_call *c, const struct cli_document_kind *kind);
int cli_documents_delete(const struct cli_call *c, const struct cli_document_kind *kind);
