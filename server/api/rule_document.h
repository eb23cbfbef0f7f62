/*
 * rule_document: rule documents in requests: what is stored of them (of a geofence's too), and what
 * the compiler says.
 */
#pragma once

#include "api/request.h"
#include "base/ident.h"
#include "store/query_rules.h"

/* The body (changed) as a document, without what a GET adds to it; in the arena. name: of the path,
 * or NULL. NULL: out of memory. */
const char *api_rule_document(struct api_request *r, json_t *body, const char *name);
/* Compiles it. False: it is no rule, and that is answered. path_name may be NULL. *ret_rule borrows
 * the document and ret_name. */
NODISCARD bool api_rule_check(struct api_request *r, const char *document, const char *path_name,
                              char ret_name[static IDENT_MAX + 1], struct store_rule *ret_rule);
/* The rule as if its mode were active. NULL: answered; errors point below `pointer`. */
struct rule *api_rule_compile_active(struct api_request *r, struct view document,
                                     const char *pointer);
/* A document (JSON text) with sorted keys and a line for each member, for comparing. The caller
 * frees; NULL: out of memory. */
char *api_rule_canonical(struct view document);
