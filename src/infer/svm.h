// infer/svm.h: a linear support vector machine on a network's features, with calibrated probabilities: for few
// pictures. svm.json: {"graft.svm": 1, "classes": [name], "layer": name or null, "model": file in the folder, "width",
// "c", "w": [[number]] (classes rows of width + 1, the intercept last), "platt": [[a, b]] (by class)}.
//   f_k = w_k x + w_k,width;  p_k = 1 / (1 + exp(a_k f_k + b_k)), divided by their sum; of two classes p_0 = 1 - p_1.
#pragma once

#include "infer/layer_features.h"

enum { SVM_STRENGTHS = 6 };
extern const double svm_strengths[SVM_STRENGTHS]; // the values of C that are tried
struct svm {
    char **classes, *layer, *model; // layer NULL: what enters the classifier; model: path
    int n_classes, width;
    double c;
    double *w, *platt;
};
// One against the rest with the squared hinge loss and an intercept that is penalised like the weights, as
// scikit-learn's LinearSVC, until the gradient is down to `tolerance` of that of no weights.  x: (n, width) rows; row:
// which of them to use.  w: (classes, width + 1); with `warm` it is where the search begins.
graft_status svm_train(const float *x, const int *labels, const uint32_t *row, size_t n, int width, int classes,
                       double c, double tolerance, bool warm, double *w);
void svm_values(const double *w, const float *x, int width, int classes, double *f); // of one row: (classes)
void svm_probabilities(const double *platt, const double *f, int classes, float *p);
// C by cross-validated accuracy over `fold` (by row, 0 .. folds - 1; the smaller C of equals), Platt's sigmoids on the
// values that each fold's rows got from the others, w on all rows.  accuracy: (SVM_STRENGTHS); values: (n, classes),
// out of fold, by the chosen C.  s->width and n_classes are the caller's.
graft_status svm_fit(struct svm *s, const float *x, const int *labels, const int *fold, size_t n, int folds, double c,
                     double *accuracy, double *values);
// Each row's probabilities by sigmoids that are fitted on the other folds' values, so that its own label has no part in
// what it is scored by.  values: svm_fit's; p: (n, classes).
graft_status svm_out_of_fold(const double *values, const int *labels, const int *fold, size_t n, int folds,
                             int classes, float *p);
#define SVM_FILE "svm.json"
bool svm_is(const char *path); // a folder with svm.json, or that file
graft_status svm_read(const char *path, struct svm *out);
graft_status svm_write(const struct svm *s, const char *folder); // its model.safetensors is there already
void svm_free(struct svm *s); // a zeroed one is fine
