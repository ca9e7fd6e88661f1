// api/commands.c: the commands and their options: what the command line, the help and the library offer.

#include "api/options.h"
#include "base/bytes.h"
#include <string.h>

#define THREADS {"threads", 0, "N", "0", "compute threads; 0: all cores we may use", NULL}
#define WORKERS {"workers", 0, "N", "2", "threads that decode pictures", NULL}
#define BATCH {"batch", 'b', "N", "16", "pictures a step", "batch-size"}
#define IMGSZ {"imgsz", 0, "N", "0", "side of the network's input; 0: the network's own", "img-size imgsize"}
#define RESIZE {"resize", 0, "RULE", NULL, "crop, squash or pad (default: the network's published rule)", NULL}
#define AUGMENT \
    {"augment", 0, "PARTS", "none", \
     "random changes: flip=h,rotate=10,shift=0.1,scale=0.8-1.2,shear=5,crop=0.6-1,color=0.2,hue=0.02," \
     "grey=0.1,blur,erase=0.1,randaugment=2:9,trivial,mixup,cutmix,border=reflect, or light, standard, " \
     "strong, statefarm", NULL}
#define ICC \
    {"icc", 0, NULL, NULL, \
     "convert embedded colour profiles to sRGB (Pillow ignores them); kept in the model", NULL}
#define CROP \
    {"crop", 0, "cam|FILE", NULL, \
     "of a model trained with --crop: the pictures' boxes, by the model in whole/ beside it (cam), or from " \
     "`graft crops` (a file of that name: ./cam)", NULL}
#define CROP_RULE \
    {"threshold", 0, "T", "0.3", "of the largest heat: what belongs to the box around the hottest place", NULL}, \
    {"margin", 0, "M", "0.1", "on each side, as a part of the box's side", NULL}, \
    {"least", 0, "L", "0.35", "smallest side of a box, as a part of what the network sees", NULL}
#define DATA(help) {"data", 'd', "DATA", NULL, help, NULL, 1}
#define GROUP {"group", 0, "COLUMN", NULL, "CSV's column of what stays together (default group or subject); none", NULL}
#define KERNELS \
    {"kernels", 0, "th|tf", "told", \
     "of a Keras file: th (Theano's, turned), tf, or as the file and its name tell", NULL}
#define OFFLINE {"offline", 0, NULL, NULL, "never touch the network: published weights must be on this machine", NULL}
#define PRECISION \
    {"precision", 0, "TYPE", "fp32", \
     "of multiplications in convolutions: fp32, or bf16 where the processor has it (AVX-512 BF16, AMX)", NULL}
#define EXACT {"exact", 0, NULL, NULL, "no Winograd: every convolution by its direct sums", NULL}
// What opening a model to use it asks for.
#define NETWORK {"model", 'm', "NET", NULL, "the network, where the file does not tell", NULL}
#define HEADS_RULE \
    {"heads", 0, "RULE", NULL, "which of several heads predict: mean or main (default: as the network does)", NULL}
#define HEADS HEADS_RULE, NETWORK, KERNELS
// What a step learns by.
#define LEARNER \
    {"recipe", 0, "NAME", NULL, \
     "best, guide or quick: what options are when not given (default: best; guide where an option that best " \
     "sets is given)", NULL}, \
    {"optimizer", 0, "NAME", "sgd", "sgd, adam, adamw or rmsprop", "opt"}, \
    {"rules", 0, "NAME", "keras", "whose arithmetic: keras (3) or torch", NULL}, \
    {"momentum", 0, "M", NULL, "of sgd and rmsprop (default: sgd 0.9, rmsprop 0)", NULL}, \
    {"no-nesterov", 0, NULL, NULL, "sgd with plain momentum", NULL}, \
    {"betas", 0, "B1,B2", "0.9,0.999", "of adam and adamw", NULL}, \
    {"rho", 0, "R", NULL, "of rmsprop (default: keras 0.9, torch 0.99)", "alpha"}, \
    {"epsilon", 0, "E", NULL, "of all but sgd (default: keras 1e-7, torch 1e-8)", "eps"}, \
    {"weight-decay", 0, "D", NULL, \
     "coupled or decoupled as the rules have it (default 0; adamw: keras 0.004, torch 0.01)", NULL}, \
    {"decay-all", 0, NULL, NULL, "weight decay of biases and BatchNorm too", NULL}, \
    {"clip-norm", 0, "X", "0", "gradients scaled down to this norm over all of them; 0: not", "clip-grad"}, \
    {"clip-value", 0, "X", "0", "each gradient held between -X and X; 0: not", NULL}, \
    {"accumulate", 0, "N", "1", "batches an update", "grad-accum-steps"}, \
    {"label-smoothing", 0, "S", "0", "share of the target spread over all classes", "smoothing"}, \
    {"lr-mult", 0, "L=F,...", NULL, "factors of the rate by layer: features.0-9=0.1,head=10", NULL}, \
    {"layer-decay", 0, "D", "1", "each group of layers learns by this factor slower than the one after it", NULL}
#define TTA \
    {"tta", 0, "N|PARTS", NULL, \
     "mean over N views of a picture, or over 8 changed so: flip,rotate=5,shift=0.05; or N,PARTS", NULL}, \
    {"tta-mean", 0, "RULE", "arithmetic", "of the views: arithmetic or geometric", NULL}
#define DECODE \
    {"decode", 0, "RULE", "auto", \
     "of JPEGs in training: auto (no smaller than twice the input), fast (than the input), exact", NULL}
#define CACHE \
    {"cache", 0, "WHERE", "none", "keep decoded, resized pictures: ram, disk or none", NULL}, \
    {"cache-dir", 0, "DIR", NULL, "of --cache disk (default: pictures/ in graft's own cache folder)", NULL}, \
    {"cache-gb", 0, "N", "0", "most that --cache takes; 0: half of the memory that is left, 20 of disk", NULL}
#define ENDED {NULL, 0, NULL, NULL, NULL, NULL}

static const graft_option_info train_options[] = {
    {"model", 'm', "NET", NULL,
     "network (default: the weight file's, else efficientnet_lite0); `graft models` lists them", NULL},
    DATA("folder per class, train/val/test folders, CSV, IDX or CIFAR folder, .npz; several: one set together"),
    {"output", 'o', "DIR", NULL, "run folder (default runs/train, runs/train2, ...)", NULL},
    {"weights", 0, "FILE", "imagenet", "imagenet (published; downloaded if need be), none, or a weight file", NULL},
    {"epochs", 0, "N", "10", "passes over the training pictures", NULL},
    {"head", 0, "RULE", "auto", "auto, keep or new", NULL},
    {"num-classes", 0, "N", "0", "classes, where the data do not tell", NULL},
    {"freeze", 0, "N|NAME", "none", "rows or the layer up to which nothing trains; head: all but the head; none", NULL},
    {"unfreeze-epoch", 0, "E:L,...", NULL, "from epoch E on layer L and what follows it train: 2:blocks.5,4:all", NULL},
    {"bn", 0, "MODE", "train", "BatchNorm: train (batch statistics), stats (fixed statistics), frozen", NULL},
    {"dropout", 0, "P", NULL, "rate (default: the network's)", NULL},
    {"drop-path", 0, "P", "0", "residual branches are left out at random, the last with P, those before it less",
     "drop-path-rate"},
    {"aux-weights", 0, "A,B..", NULL, "weights of the auxiliary heads' losses (default: googlenet 1,1, others 0)",
     NULL},
    HEADS_RULE,
    KERNELS,
    IMGSZ,
    {"val", 0, "PART", NULL, "fraction (0.2), count (100) or 0 (default 0.2 if the data have no val part)",
     "val-split"},
    {"split", 0, "FILE", NULL, "a run's split.csv, in place of --val", NULL},
    {"folds", 0, "K", "0",
     "K models, each validated on a part of the data that it never saw: by class, whole by group, the same for every "
     "network and seed",
     NULL},
    {"folds-run", 0, "I,J", NULL, "only these of the folds, 0 to K-1; --resume with others adds them", NULL},
    {"fold", 0, "I", NULL, "of --folds this one alone, as an ordinary run", NULL},
    GROUP,
    {"classes", 0, "FILE", NULL, "class names, one a line, in this order (default: sorted)", "class-map"},
    {"train-limit", 0, "N", "0", "only the first N training pictures", NULL},
    RESIZE,
    AUGMENT,
    {"copies", 0, "K", "0",
     "K augmented versions beside every picture, the same in every epoch (default --augment: statefarm)", NULL},
    {"crop", 0, "cam|FILE", NULL,
     "of every picture only its box, from `graft crops`; or cam: train on whole pictures (in RUN/whole), look for the "
     "boxes, train on them (a file of that name: ./cam)",
     NULL},
    {"pseudo", 0, "FILE", NULL, "pictures with labels that a model gave (`graft pseudo`), mixed into training", NULL},
    {"pseudo-share", 0, "S", "0.3", "their share of every batch; an epoch is one pass over the labelled pictures",
     NULL},
    {"class-weights", 0, "RULE|FILE", NULL, "of the loss: balanced, or a CSV of class,weight", NULL},
    {"balance", 0, NULL, NULL, "small classes are seen more often: every class as often as the largest", NULL},
    ICC,
    DECODE,
    CACHE,
    {"cache-features", 0, "HOW", "auto",
     "what frozen layers make of a picture: auto (kept in the cache folder), off, or a folder; in bf16 with "
     "--precision bf16", NULL},
    {"on-bad", 0, "RULE", "skip", "a picture that cannot be read: skip or fail", NULL},
    LEARNER,
    {"lr", 0, "RATE", "0.001", "learning rate", "lr0"},
    {"scheduler", 0, "NAME", "keras", "constant, step, cosine, onecycle, plateau or keras (rate / (1 + D t))", "sched"},
    {"decay", 0, "D", "1e-6", "of --scheduler keras", NULL},
    {"warmup", 0, "E", "0", "epochs, or a part of one, in which the rate rises", "warmup-epochs"},
    {"step-epochs", 0, "N", "0", "step: epochs between drops; plateau: epochs without gain before one (0: a third; 3)",
     "decay-epochs"},
    {"gamma", 0, "G", "0.1", "step, plateau: factor of a drop", "decay-rate"},
    {"ema", 0, "K", "0", "measure and save an average of the weights that keeps K (0.99) at each update; 0: not",
     "model-ema-decay"},
    {"swa", 0, "E", "0", "from epoch E on average the epochs' weights; 0: never", NULL},
    BATCH,
    {"monitor", 0, "NAME", "val_log_loss",
     "what makes an epoch the best: val_log_loss, val_loss, val_top1, val_top5, train_loss", NULL},
    {"patience", 0, "N", "0", "stop after N epochs without a better one; 0: never", NULL},
    {"checkpoint-minutes", 0, "M", "10", "how much work a power cut may cost within an epoch; 0: up to the epoch",
     NULL},
    {"resume", 0, "RUN", NULL, "go on with a run folder where it stopped; with --epochs also a finished one", NULL},
    {"force", 0, NULL, NULL, "resume although the data or the options changed", NULL},
    {"log-steps", 0, NULL, NULL, "every step's loss into events.jsonl", NULL},
    {"histograms", 0, NULL, NULL, "distribution of weights and gradients by epoch, for TensorBoard", NULL},
    {"no-save", 0, NULL, NULL, "write events only, no model", NULL},
    {"memory", 0, "SIZE", NULL, "most that the run may take, such as 2G or 500M: larger batches go through in parts",
     NULL},
    {"seed", 0, "N", "0", "of every random number", NULL},
    PRECISION,
    EXACT,
    OFFLINE,
    THREADS,
    WORKERS,
    ENDED,
};

// The help of `train` under headings: a heading, and the first of the options that stand below it.
static const struct section { const char *heading, *first; } train_sections[] = {
    {"network", "head"}, {"data", "val"}, {"learning", "recipe"}, {"run", "monitor"},
};

static const graft_option_info lr_find_options[] = {
    {"model", 'm', "NET", NULL, "as for train", NULL},
    DATA("as for train"),
    {"output", 'o', "FILE.svg", "lr-find.svg", "the plot to write; nothing else is written", NULL},
    {"weights", 0, "FILE", "imagenet", "as for train", NULL}, KERNELS,
    {"num-classes", 0, "N", "0", "as for train", NULL},
    {"freeze", 0, "N|NAME", "none", "as for train", NULL},
    {"aux-weights", 0, "A,B..", NULL, "as for train", NULL},
    {"bn", 0, "MODE", "train", "as for train", NULL},
    {"lr-min", 0, "RATE", "1e-7", "the first step's rate", NULL},
    {"lr-max", 0, "RATE", "10", "the last step's rate, unless the loss rises over four times its least before", NULL},
    {"steps", 0, "N", "100", "how many steps lie between", NULL},
    LEARNER, BATCH, IMGSZ, RESIZE, AUGMENT, ICC,
    {"val", 0, "PART", NULL, "as for train: those pictures are left out", "val-split"},
    GROUP,
    {"classes", 0, "FILE", NULL, "as for train", "class-map"},
    {"train-limit", 0, "N", "0", "as for train", NULL},
    {"dropout", 0, "P", NULL, "as for train", NULL},
    {"seed", 0, "N", "0", "as for train", NULL},
    EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info predict_options[] = {
    {"topk", 'k', "N", "5", "classes shown a picture", NULL},
    {"csv", 0, "FILE", NULL, "every class's probability, a row a picture", NULL},
    {"like", 0, "FILE", NULL,
     "with --csv: in the shape and order of this sample, such as a contest's sample_submission.csv", NULL},
    {"clip", 0, "E", "0", "with --csv: probabilities to [E, 1 - E]", NULL},
    {"calibrated", 0, NULL, NULL, "probabilities by the temperature that validation left in the model", NULL},
    {"reject", 0, "P", "0", "answer \"unknown\" where the likeliest class has less than P", NULL},
    {"logits", 0, "FILE.npy", NULL, "float32 (n, classes) before softmax, of the main head", NULL},
    TTA, HEADS, ICC, CROP, BATCH, IMGSZ, RESIZE, PRECISION, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info val_options[] = {
    DATA("as for train"),
    {"split", 0, "PART|FILE", "val", "train, val, test or all; or a run's split.csv, of which --part is taken", NULL},
    {"part", 0, "PART", "val", "with --split FILE: train, val, test or all", NULL},
    GROUP,
    {"val", 0, "PART", NULL, "as for train; needed to hold out the same pictures", "val-split"},
    {"seed", 0, "N", "0", "as for train", NULL},
    {"calibrate", 0, NULL, NULL, "fit the temperature on these pictures and put it into the model", NULL},
    TTA, HEADS, ICC, CROP, BATCH, RESIZE, PRECISION, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info inspect_options[] = {ENDED};
static const graft_option_info convert_options[] = {
    NETWORK,
    {"weights-only", 0, NULL, NULL, "an .h5 without the graph, for a model that keras.applications builds", NULL},
    KERNELS, IMGSZ, OFFLINE, ENDED};
static const graft_option_info data_options[] = {
    DATA("the pictures, as for train; or say DATA after the action"),
    GROUP,
    {"classes", 0, "FILE", NULL, "as for train", NULL},
    {"split", 0, "FILE", NULL, "check, stats: the parts as a run's split.csv says", NULL},
    {"html", 0, "FILE", NULL, "check: a page with thumbnails", NULL},
    {"quarantine", 0, "DIR", NULL, "check: move what is broken there", NULL},
    WORKERS,
    {"output", 'o', "FILE.png", NULL, "show: the sheet to write", NULL},
    AUGMENT, ICC,
    {"model", 'm', "NET", "efficientnet_lite0", "show: whose input", NULL},
    IMGSZ, RESIZE,
    {"rows", 0, "N", "6", "show: pictures", NULL},
    {"columns", 0, "N", "7", "show: epochs beside each picture", NULL},
    {"seed", 0, "N", "0", "as for train", NULL},
    ENDED};
static const graft_option_info models_options[] = {
    {"layers", 0, NULL, NULL, "the network's rows: index, name, shape", NULL}, ENDED};
static const graft_option_info pull_options[] = {
    {"list", 0, NULL, NULL, "the files, their publishers' addresses, and which are here", NULL}, OFFLINE, ENDED};
static const graft_option_info bench_options[] = {
    {"mode", 0, "MODE", "train", "train, infer or head (only the head trains)", NULL},
    {"steps", 0, "N", "5", "steps measured, after one warm-up; loader: passes over the pictures", NULL},
    {"layers", 0, NULL, NULL, "each step of the plan too: time, rate, share of the processor's peak, bytes, algorithm",
     NULL},
    {"freeze", 0, "N|NAME", "none", "as for train", NULL},
    BATCH,
    IMGSZ,
    PRECISION,
    EXACT,
    THREADS,
    DATA("loader: the pictures"),
    AUGMENT, DECODE, CACHE, RESIZE, WORKERS, ENDED};
static const graft_option_info explain_options[] = {
    {"output", 'o', "FILE", "explain.png", "the picture to write, .png or .jpg", NULL},
    {"class", 0, "NAME", NULL, "what to look for (default: the likeliest class)", NULL},
    {"box", 0, NULL, NULL, "a frame around what `graft crops` would take", NULL},
    CROP_RULE, CROP,
    HEADS, ICC, IMGSZ, RESIZE, OFFLINE, THREADS, ENDED};
static const graft_option_info runs_options[] = {
    {"sort", 0, "BY", "date", "date, name, top1, log-loss or time", NULL},
    {"yes", 'y', NULL, NULL, "rm: do not ask", NULL}, ENDED};
static const graft_option_info watch_options[] = {ENDED};
static const graft_option_info report_options[] = {
    {"output", 'o', "FILE", NULL, "default report.html in the run folder; compare.html of several", NULL}, ENDED};

static const graft_option_info ensemble_options[] = {
    {"output", 'o', "DIR", NULL, "folder of the ensemble, a model for predict and val (default: only the scores)",
     NULL},
    {"rule", 0, "RULE", "geometric",
     "arithmetic, geometric; or fitted on out-of-fold predictions: weights, greedy, stack", NULL},
    {"weights", 0, "W,W..", NULL, "of arithmetic and geometric, one a member", NULL},
    {"rounds", 0, "N", "50", "greedy: how often a member is chosen", NULL},
    {"c", 0, "C", "1", "stack: inverse strength of the penalty, as scikit-learn has it", NULL},
    ENDED};

#define LAYER \
    {"layer", 0, "NAME", NULL, \
     "as `models NET --layers` names it (default: what enters the classifier)", NULL}
static const graft_option_info features_options[] = {
    DATA("as for train"),
    {"output", 'o', "FILE", NULL,
     "by its ending .npy (float32; beside it FILE.csv with each row's picture), .csv or .libsvm", NULL},
    LAYER,
    {"part", 0, "PART", "all", "train, val, test or all", NULL},
    {"unlabelled", 0, NULL, NULL, "-d is pictures, folders or a CSV without labels, as for predict", NULL},
    {"classes", 0, "FILE", NULL, "as for train", NULL},
    GROUP, HEADS, ICC, BATCH, IMGSZ, RESIZE, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info svm_options[] = {
    DATA("as for train"),
    {"output", 'o', "DIR", NULL, "folder of the result, a model for predict and val", NULL},
    LAYER,
    {"c", 0, "C", NULL, "inverse strength of the penalty (default: of 0.0001 to 10 the best over the folds)", NULL},
    {"folds", 0, "K", "5", "of the cross-validation, by class and whole by group", NULL},
    {"classes", 0, "FILE", NULL, "as for train", NULL},
    {"train-limit", 0, "N", "0", "only the first N pictures", NULL},
    GROUP, HEADS, ICC, BATCH, IMGSZ, RESIZE, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info crops_options[] = {
    DATA("pictures, folders or CSVs, as for predict; labels are not looked at"),
    {"output", 'o', "FILE.csv", NULL, "path,left,top,width,height as parts of the picture,class,prob", NULL},
    CROP_RULE,
    HEADS, ICC, BATCH, IMGSZ, RESIZE, EXACT, OFFLINE, THREADS, ENDED};

static const graft_option_info pseudo_options[] = {
    DATA("pictures, folders or CSVs without labels, as for predict"),
    {"output", 'o', "FILE.csv", NULL,
     "path,label and, with soft labels, each class's probability: for train --pseudo; a folder with --rounds", NULL},
    {"threshold", 0, "P", "0.9", "only pictures whose likeliest class has at least P (with --top alone: 0)", NULL},
    {"top", 0, "N", "0", "of every class only the N likeliest; 0: all", NULL},
    {"labels", 0, "KIND", "hard", "hard (the likeliest class) or soft (the probabilities)", NULL},
    {"calibrated", 0, NULL, NULL, "probabilities by the temperature that validation left in the model", NULL},
    {"rounds", 0, "N", "0", "label, train as MODEL (a run) was with the labels, label by the result: N times", NULL},
    {"pseudo-share", 0, "S", "0.3", "--rounds: as for train", NULL},
    GROUP, TTA, HEADS, ICC, CROP, BATCH, IMGSZ, RESIZE, PRECISION, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info knn_options[] = {
    {"csv", 0, "FILE", NULL, "the averaged predictions", NULL},
    {"predictions", 0, "FILE", NULL,
     "what to average: `predict --csv` of these pictures, by an ensemble for instance (default: MODEL's own)", NULL},
    {"neighbours", 0, "FILE", NULL, "each picture's neighbours and their distances", NULL},
    {"k", 'k', "K", "10", "neighbours of a picture", NULL},
    {"metric", 0, "NAME", "euclidean", "euclidean or cosine", NULL},
    {"weights", 0, "RULE", "distance",
     "even, or distance: exp(-d^2 / 2 s^2), s the mean distance of the last neighbour; the picture itself has 1", NULL},
    {"mean", 0, "RULE", "arithmetic", "arithmetic or geometric", NULL},
    LAYER, HEADS, ICC, BATCH, IMGSZ, RESIZE, EXACT, OFFLINE, THREADS, WORKERS, ENDED};

static const struct command commands[] = {
    {"train", NULL, "fine-tune a network on your pictures", "[-m NET] -d DATA [OPTION]...",
     "graft train -d pets/\n  graft train -m vgg16 --weights vgg16.h5 -d pets/ --freeze 4 --epochs 5\n"
     "  graft train -d pets/ --optimizer adamw --scheduler cosine --warmup 0.5 --label-smoothing 0.1 --ema 0.99\n"
     "  graft train --resume runs/train",
     train_options, run_train},
    {"lr-find", NULL, "the learning rate range test: which rate suits your pictures", "[-m NET] -d DATA [OPTION]...",
     "graft lr-find -d pets/\n  graft lr-find -d pets/ --recipe guide --bn stats -o rates.svg", lr_find_options,
     run_lr_find},
    {"predict", NULL, "say what is on pictures", "MODEL INPUT... [OPTION]...",
     "graft predict runs/train/model.safetensors cat.jpg\n  graft predict efficientnet_lite0 pictures/ --csv out.csv\n"
     "  graft predict runs/train/model.safetensors test.csv --csv out.csv\n"
     "  graft predict runs/all test/ --tta 8 --csv out.csv --like sample_submission.csv --clip 0.001",
     predict_options, run_predict},
    {"val", "eval", "measure a model on labelled pictures", "MODEL -d DATA [OPTION]...",
     "graft val runs/train/model.safetensors -d pets/", val_options, run_val},
    {"ensemble", NULL, "make one model of several: fold runs, runs, models, CSVs of predictions",
     "MEMBER... [-o DIR] [OPTION]...",
     "graft ensemble runs/lite0 runs/vgg16 -o runs/both\n"
     "  graft ensemble runs/lite0 runs/vgg16 --rule weights -o runs/both\n"
     "  graft predict runs/both test/ --csv out.csv",
     ensemble_options, run_ensemble},
    {"features", NULL, "write what a layer says of pictures, for other programs", "MODEL -d DATA -o FILE [OPTION]...",
     "graft features efficientnet_lite0 -d pets/ -o pets.npy\n"
     "  graft features vgg16 -d pets/ --layer classifier.0 -o pets.libsvm",
     features_options, run_features},
    {"svm", NULL, "learn from few pictures: a linear support vector machine on a network's features",
     "MODEL -d DATA -o DIR [OPTION]...",
     "graft svm efficientnet_lite0 -d pets/ -o runs/svm\n  graft predict runs/svm cat.jpg", svm_options, run_svm},
    {"knn", NULL, "average predictions over the nearest pictures of the same set",
     "MODEL PICTURES... --csv FILE [OPTION]...",
     "graft knn runs/train/model.safetensors test/ -k 10 --csv out.csv\n"
     "  graft knn runs/train/model.safetensors test/ --predictions ensemble.csv --csv out.csv",
     knn_options, run_knn},
    {"crops", NULL, "boxes around what a model looks at, to train on that alone",
     "MODEL -d PICTURES -o FILE [OPTION]...",
     "graft train -d pets/ --crop cam -o runs/close\n  graft predict runs/close new/ --crop cam\n"
     "  graft crops runs/train -d pets/ -o boxes.csv\n  graft train -d pets/ --crop boxes.csv -o runs/close\n"
     "  graft crops runs/train -d new/ -o new.csv\n  graft predict runs/close new/ --crop new.csv",
     crops_options, run_crops},
    {"pseudo", NULL, "label pictures by a model where it is sure, to train on", "MODEL -d PICTURES -o FILE [OPTION]...",
     "graft pseudo runs/train -d unlabelled/ --threshold 0.95 -o sure.csv\n"
     "  graft train -d pets/ --pseudo sure.csv --pseudo-share 0.3\n"
     "  graft pseudo runs/folds -d test/ --top 500 --labels soft -o sure.csv\n"
     "  graft pseudo runs/folds -d test/ --rounds 2 -o runs/rounds",
     pseudo_options, run_pseudo},
    {"inspect", NULL, "say what a weight or model file is", "FILE", "graft inspect vgg16.h5", inspect_options,
     run_inspect},
    {"convert", NULL, "write a model or weight file in another format", "SRC DST [OPTION]...",
     "graft convert vgg16.h5 vgg16.safetensors\n  graft convert runs/train/model.safetensors model.onnx\n"
     "  graft convert runs/train/model.safetensors model.keras",
     convert_options, run_convert},
    {"data", NULL, "look at pictures before training", "check|stats|show [-d] DATA [OPTION]...",
     "graft data check pets/ --html pets.html\n  graft data show -d pets/ --augment standard,erase=0.2 -o sheet.png",
     data_options, run_data},
    {"models", NULL, "list the networks", "[NET] [--layers]", "graft models\n  graft models vgg16 --layers",
     models_options, run_models},
    {"pull", NULL, "download published weights, or check those that are here", "NET... [--offline] | --list [NET...]",
     "graft pull vgg16 efficientnet_lite0\n  graft pull --list\n"
     "  GRAFT_MIRROR=https://files.example.org/weights graft pull vgg16",
     pull_options, run_pull},
    {"bench", NULL, "measure images per second and memory", "NET|loader [OPTION]...",
     "graft bench efficientnet_lite0 --mode infer\n  graft bench loader -d pets/ --augment standard --workers 2",
     bench_options, run_bench},
    {"explain", NULL, "show what a prediction rests on: Grad-CAM over a picture", "MODEL PICTURE [OPTION]...",
     "graft explain runs/train/model.safetensors cat.jpg -o why.png\n"
     "  graft explain efficientnet_lite0 cat.jpg --class 'tabby, tabby cat'",
     explain_options, run_explain},
    {"report", NULL, "one HTML file about a run, or about several (or a run's folds) side by side",
     "RUN... [OPTION]...",
     "graft report runs/train\n  graft report runs/train runs/train2 -o compare.html", report_options, run_report},
    {"runs", NULL, "a table of the runs in a folder; rm removes some", "[DIR] | rm RUN... [OPTION]...",
     "graft runs\n  graft runs experiments/ --sort log-loss\n  graft runs rm runs/train3", runs_options, run_runs},
    {"watch", NULL, "follow a run from another terminal", "RUN", "graft watch runs/train", watch_options, run_watch},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0 || (commands[i].alias != NULL && strcmp(commands[i].alias, name) == 0))
            return &commands[i];
    return NULL;
}

const char *graft_command_name(int index)
{
    return index >= 0 && index < (int)COUNT_OF(commands) ? commands[index].name : NULL;
}

const char *graft_command_help(const char *command, const char **usage, const char **examples)
{
    const struct command *c = command_find(command);
    if (c == NULL)
        return NULL;
    if (usage != NULL)
        *usage = c->usage;
    if (examples != NULL)
        *examples = c->examples;
    return c->help;
}

const graft_option_info *graft_command_option(const char *command, int index)
{
    const struct command *c = command_find(command);
    for (int i = 0; c != NULL && c->options[i].name != NULL; i++)
        if (i == index)
            return &c->options[i];
    return NULL;
}

const char *graft_option_heading(const char *command, int index)
{
    const graft_option_info *option = graft_command_option(command, index);
    for (size_t i = 0; option != NULL && strcmp(command, "train") == 0 && i < COUNT_OF(train_sections); i++)
        if (strcmp(option->name, train_sections[i].first) == 0)
            return train_sections[i].heading;
    return NULL;
}
