// train/twins.h: pictures held out that look like one to train on: what was remembered passes for learned.
#pragma once

#include "data/data.h"
#include "train/run_folder.h"

// A warning with the first pairs; all of them in near_duplicates.csv, with those that a run that goes on had found.
graft_status twins_report(const struct run_folder *f, const struct dataset *d, bool goes_on);
