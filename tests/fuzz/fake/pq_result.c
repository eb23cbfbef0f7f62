#include <stdarg.h>
#include <stdio.h>

#include "fake/pq_inside.h"

PGresult *pq_result(ExecStatusType status)
{
    PGresult *r = calloc(1, sizeof(*r));
    CHECK(r != NULL);
    r->status = status;
    pq.open_results++;
    return r;
}

PGresult *pq_error(const char *sqlstate, const char *context)
{
    PGresult *r = pq_result(PGRES_FATAL_ERROR);
    r->has_state = true;
    (void)snprintf(r->sqlstate, sizeof(r->sqlstate), "%s", sqlstate);
    r->has_context = context != NULL;
    (void)snprintf(r->context, sizeof(r->context), "%s", context == NULL ? "" : context);
    return r;
}

const char *pq_text(PGresult *r, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&text, format, args) >= 0 && r->text_count < TEXTS_MAX);
    va_end(args);
    r->texts[r->text_count++] = text;
    return text;
}

void pq_row(PGresult *r, int columns, const char *const *values)
{
    CHECK(columns <= COLUMNS_MAX && (r->rows == 0 || r->columns == columns));
    r->columns = columns;
    r->cells = realloc(r->cells, ((size_t)r->rows + 1) * sizeof(*r->cells));
    char **row = calloc((size_t)columns, sizeof(*row));
    CHECK(r->cells != NULL && row != NULL);
    for (int i = 0; i < columns; i++) {
        row[i] = values[i] == NULL ? NULL : strdup(values[i]);
    }
    r->cells[r->rows++] = row;
}

void PQclear(PGresult *r)
{
    if (r == NULL) {
        return;
    }
    for (int row = 0; row < r->rows; row++) {
        for (int i = 0; i < r->columns; i++) {
            free(r->cells[row][i]);
        }
        free(r->cells[row]);
    }
    for (int i = 0; i < r->text_count; i++) {
        free(r->texts[i]);
    }
    free(r->cells);
    free(r);
    pq.open_results--;
}

ExecStatusType PQresultStatus(const PGresult *r)
{
    return r == NULL ? PGRES_FATAL_ERROR : r->status;
}

char *PQresultErrorField(const PGresult *r, int field)
{
    static char message[] = "it was refused\nwith a second line";
    static char constraint[] = "samples_pkey";
    if (r == NULL || r->status != PGRES_FATAL_ERROR) {
        return NULL;
    }
    switch (field) {
    case PG_DIAG_SQLSTATE:
        return r->has_state ? (char *)(uintptr_t)r->sqlstate : NULL;
    case PG_DIAG_CONTEXT:
        return r->has_context ? (char *)(uintptr_t)r->context : NULL;
    case PG_DIAG_MESSAGE_PRIMARY:
        return r->has_state ? message : NULL;
    case PG_DIAG_CONSTRAINT_NAME:
        return r->has_state && strcmp(r->sqlstate, "23505") == 0 ? constraint : NULL;
    default:
        return NULL;
    }
}

char *PQresultErrorMessage(const PGresult *r)
{
    static char words[] = "ERROR: it was refused\n";
    static char none[] = "";
    return r == NULL || r->status != PGRES_FATAL_ERROR ? none : words;
}

int PQntuples(const PGresult *r)
{
    return r == NULL ? 0 : r->rows;
}

/* libpq warns and gives NULL or 1 beyond the table; here nobody may even ask. */
static char *cell(const PGresult *r, int row, int column)
{
    CHECK(r != NULL && row >= 0 && row < r->rows && column >= 0 && column < r->columns);
    return r->cells[row][column];
}

char *PQgetvalue(const PGresult *r, int row, int column)
{
    static char none[] = "";
    char *value = cell(r, row, column);
    return value == NULL ? none : value;
}

int PQgetlength(const PGresult *r, int row, int column)
{
    const char *value = cell(r, row, column);
    return value == NULL ? 0 : (int)strlen(value);
}

int PQgetisnull(const PGresult *r, int row, int column)
{
    return cell(r, row, column) == NULL;
}

char *PQcmdStatus(PGresult *r)
{
    static char none[] = "";
    return r->command[0] == '\0' ? none : r->command;
}

char *PQcmdTuples(PGresult *r)
{
    static char text[16];
    (void)snprintf(text, sizeof(text), "%d", r == NULL ? 0 : r->rows);
    return text;
}
