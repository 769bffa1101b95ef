/* A small JSON reader for C and C++: read a file, ask for members, numbers and items.

   It reads, it does not validate. Escapes in strings stay as written; no name or number that the
   golden vectors need has any. Nothing is freed, as programs that use it end soon. */
#ifndef JSON_H
#define JSON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Json {
    char kind;                 /* its first character: { [ " or that of a number, true, null */
    char *key, *text;          /* its name in an object; where its string or number starts */
    struct Json *child, *next; /* its first member or item; the one after itself */
} Json;

static inline void json_fail(const char *says, const char *what) {
    fprintf(stderr, "%s: %.60s\n", says, what);
    exit(2);
}

/* The next character that is not white space. */
static inline char json_peek(char **p) {
    *p += strspn(*p, " \t\r\n");
    return **p;
}

static inline void json_expect(char **p, char wanted) {
    if (json_peek(p) != wanted) json_fail("unexpected JSON", *p);
    ++*p;
}

/* A string, ended in place by a zero instead of its closing quote. */
static inline char *json_string(char **p) {
    json_expect(p, '"');
    char *start = *p;
    for (; **p != '"'; ++*p) {
        if (**p == '\\') ++*p;
        if (!**p) json_fail("a string without end", start);
    }
    *(*p)++ = '\0';
    return start;
}

static inline Json *json_value(char **p) {
    Json *x = (Json *)calloc(1, sizeof(Json)), **last = &x->child;
    x->kind = json_peek(p);
    if (x->kind == '"') {
        x->text = json_string(p);
    } else if (x->kind == '{' || x->kind == '[') {
        char close = x->kind == '{' ? '}' : ']';
        ++*p;
        while (json_peek(p) != close) {
            if (x->child) json_expect(p, ',');
            char *key = x->kind == '{' ? json_string(p) : NULL;
            if (key) json_expect(p, ':');
            *last = json_value(p);
            (*last)->key = key;
            last = &(*last)->next;
        }
        ++*p;
    } else {
        x->text = *p;
        *p += strcspn(*p, ",]} \t\r\n");
        if (*p == x->text) json_fail("unexpected JSON", *p);
    }
    return x;
}

static inline Json *json_read(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) json_fail("cannot be read", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = (char *)calloc(size + 1, 1);
    if (!text || fread(text, 1, size, file) != size) json_fail("cannot be read", path);
    fclose(file);
    return json_value(&text);
}

/* A member of an object; NULL where there is none, or no object. */
static inline const Json *json_get(const Json *x, const char *key) {
    if (!x || x->kind != '{') return NULL;
    for (x = x->child; x && strcmp(x->key, key) != 0; x = x->next) {}
    return x;
}

/* A number, also one written as "NaN", "Infinity" or "-Infinity". */
static inline double json_number(const Json *x) {
    return strtod(x->text, NULL);
}

static inline long json_count(const Json *x) {
    long count = 0;
    for (x = x->child; x; x = x->next) count++;
    return count;
}

#endif
