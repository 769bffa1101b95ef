/* Reads golden vectors in C and C++: arrays of float32, and the check of an operation's file. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <math.h>

#include "json.h"

/* Numbers in C order. A scalar has no axes; where the file says null, data is NULL. */
typedef struct {
    long axes, size, shape[8];
    float *data;
} Array;

/* A file such as "clip/clip_loss" and what computes its result from a case's inputs. */
typedef struct {
    const char *file;
    Array (*compute)(const Json *inputs, int mistake);
} Operation;

static inline Array zeros(long axes, const long *shape) {
    Array x = {axes, 1, {0}, NULL};
    for (long axis = 0; axis < axes; axis++) x.size *= x.shape[axis] = shape[axis];
    x.data = (float *)calloc((size_t)x.size + 1, sizeof(float));
    return x;
}

static inline Array scalar(float number) {
    Array x = zeros(0, NULL);
    x.data[0] = number;
    return x;
}

/* An input as float32; integers are times, which float32 holds exactly. */
static inline Array input(const Json *inputs, const char *name) {
    const Json *entry = json_get(inputs, name), *data = json_get(entry, "data");
    long axes = 0, shape[8], i = 0;
    Array null = {0, 0, {0}, NULL};
    if (!data) return null;
    for (Json *n = json_get(entry, "shape")->child; n && axes < 8; n = n->next)
        shape[axes++] = (long)json_number(n);
    Array x = zeros(axes, shape);
    for (Json *n = data->child; n && i < x.size; n = n->next) x.data[i++] = (float)json_number(n);
    return x;
}

/* The number that x, broadcast to a shape of some axes, has at the flat index i; 0 for null. */
static inline float at(Array x, long axes, const long *shape, long i) {
    long place = 0, stride = 1;
    if (!x.data) return 0;
    for (long last = 1; last <= x.axes; last++) { /* from the last axis to the first */
        long size = x.shape[x.axes - last], wide = shape[axes - last];
        if (size > 1) place += i % wide * stride;
        stride *= size;
        i /= wide;
    }
    return x.data[place];
}

/* The largest |found - expected| / allowed; infinite where a number is missing or not finite. */
static inline double worst_ratio(Array found, const Json *expected, const Json *allowed) {
    double worst = json_count(expected) == found.size ? 0 : INFINITY;
    expected = expected->child, allowed = allowed->child;
    for (long i = 0; expected && i < found.size; i++) {
        double wanted = json_number(expected), number = found.data[i];
        double ratio = number == wanted ? 0 : fabs(number - wanted) / json_number(allowed);
        worst = fmax(worst, isnan(ratio) ? INFINITY : ratio);
        expected = expected->next, allowed = allowed->next;
    }
    return worst;
}

/* Checks all float32 cases of some files: GOLDEN_FOLDER [--mistake NAME]; 1 if one is wrong. */
static inline int check(const Operation *operations, int count, int words, char **arguments) {
    int failed = 0;
    if (words < 2) json_fail("expected", "GOLDEN_FOLDER [--mistake OPERATION]");
    for (int o = 0; o < count; o++) {
        const char *name = strchr(operations[o].file, '/') + 1;
        int cases = 0, mistake = words == 4 && strcmp(arguments[3], name) == 0;
        double worst = 0;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.json", arguments[1], operations[o].file);
        for (const Json *c = json_get(json_read(path), "cases")->child; c; c = c->next) {
            const Json *allowed = json_get(json_get(c, "allowed"), "float32");
            if (!allowed) continue;
            Array found = operations[o].compute(json_get(c, "inputs"), mistake);
            const Json *expected = json_get(json_get(json_get(c, "expected"), "result"), "data");
            worst = fmax(worst, worst_ratio(found, expected, json_get(allowed, "result")));
            cases++;
        }
        printf("%s %d cases, worst %.3f\n", name, cases, worst);
        failed |= cases == 0 || worst > 1;
    }
    return failed;
}

#endif
