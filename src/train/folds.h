// train/folds.h: K models, each validated on a fold of the pictures that it never saw; what they say together.
// A fold run is a folder: args.json, folds.csv (path,label,fold,stamp[,group]), fold-0/ ... (runs as any other),
// results.json and, once every fold is done, oof_predictions.csv (path,label,fold,class...): each picture's prediction
// by the one model that was not trained on it.
#pragma once

#include "data/data.h"

#define FOLDS_FILE "folds.csv"
#define FOLDS_PREDICTIONS "oof_predictions.csv"
enum { FOLDS_MOST = 100 };
// The fold of every sample that takes part, -1 for the others: *fold (count), heap.  A validation part that the data
// have takes part, a test part does not.  The folds depend on the data alone.  GRAFT_BAD_FILE, with the names, where
// there are fewer groups than folds or a class lives in one group only.
graft_status folds_of_data(struct dataset *d, int k, long limit, int **fold);
// folds.csv, or in a folder that has it, a comparison with it: GRAFT_BAD_FILE says what changed, unless `force`.
graft_status folds_describe(const char *folder, const struct dataset *d, const int *fold, const char *args, bool force);
// How many folds a run has; GRAFT_BAD_FILE where they have not all ended.
graft_status folds_whole(const char *folder, int *folds);
char *fold_model(const char *folder, int i); // heap: the path of its model file
bool folds_folder_is(const char *folder); // its args.json is that of a fold run
// Whether fold i of the run has ended, after so many epochs.
bool fold_ended(const char *folder, int i, const char *epochs);
// results.json of the folds that have ended and, when all have, oof_predictions.csv.  *missing (or NULL): how many have
// not.
graft_status folds_collect(const char *folder, int k, int *missing);
