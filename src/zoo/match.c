// zoo/match.c: which network a weight file belongs to, and its tensors under canonical names and layouts.
// Every row of the zoo, in each of its dialects, gives the list of names it expects; sorted, it is laid beside the
// sorted list of the file's names (keys.c).  The row with the fewest differences is the file's; rows with equally few
// are told apart by what the person said and by the file's name.

#include "base/log.h"
#include "base/memory.h"
#include "zoo/keys.h"

enum { CANDIDATES = 16, NAMED = 4 }; // NAMED: names a message gives of a long list

// --- one beside the other --------------------------------------------------------------------------------------------

static bool is_head(const struct network *net, const char *name)
{
    const size_t length = strlen(net->head);
    return strncmp(name, net->head, length) == 0 && name[length] == '.';
}

// The shape in the file; any number of classes will do for the heads, and any map before the first dense layer (another
// input size, which the caller knows).
static struct shape wanted_shape(const struct network *net, const struct graph *g, const struct dialect *dialect,
                                 int param, struct shape found)
{
    struct shape shape = file_shape(dialect->layout, g, param);
    if (g->nodes[g->params[param].node].op == OP_SCALE && dialect->layout == FILE_KERAS && found.rank == 4)
        return SHAPE(1, 1, shape.dim[0], 1); // graft's own files: a scale is a depthwise convolution there
    const int classes = dialect->layout == FILE_TORCH ? 0 : shape.rank - 1;
    if (network_heads(net, g->params[param].name) && found.rank == shape.rank)
        shape.dim[classes] = found.dim[classes];
    const struct node *node = &g->nodes[g->params[param].node];
    const struct value *map = &g->values[node->in[0]];
    if (node->op == OP_DENSE && map->h * map->w > 1 && shape.rank == 2 && found.rank == 2 &&
        found.dim[1 - classes] > 0 && found.dim[1 - classes] % map->c == 0)
        shape.dim[1 - classes] = found.dim[1 - classes];
    return shape;
}

struct fit { int matched, missing, extra, misshapen; };
static int differences(struct fit fit) { return fit.missing + fit.extra + fit.misshapen; }

// `tensor_of` (by parameter; -1: missing) and `param_of` (by tensor; -1: no place) may be NULL.
static struct fit join(const struct network *net, const struct graph *g, const struct dialect *dialect,
                       const struct keys *expected, const struct keys *found, const struct tensor_set *set,
                       int *tensor_of, int *param_of)
{
    struct fit fit = {0};
    size_t e = 0, f = 0;
    while (e < expected->count || f < found->count) {
        const int order = e == expected->count ? 1
                          : f == found->count  ? -1
                                               : strcmp(expected->items[e].text, found->items[f].text);
        const int param = order <= 0 ? expected->items[e++].index : -1,
                  tensor = order >= 0 ? found->items[f++].index : -1;
        if (param >= 0 && tensor_of != NULL)
            tensor_of[param] = tensor;
        if (tensor >= 0 && param_of != NULL)
            param_of[tensor] = param;
        if (tensor < 0)
            fit.missing++;
        else if (param < 0)
            fit.extra++;
        else if (!shape_equal(wanted_shape(net, g, dialect, param, set->items[tensor].shape), set->items[tensor].shape))
            fit.misshapen++;
        else
            fit.matched++;
    }
    return fit;
}

// --- choosing --------------------------------------------------------------------------------------------------------

struct candidate {
    const struct network *net;
    const struct dialect *dialect;
    enum form form;
    struct fit fit;
    int own; // 2: the row's own names, 1: its order of layers, 0: canonical names
};
struct choice {
    struct candidate items[CANDIDATES]; // equally good
    int count;
};

// As graft's own Keras files name layers for which Keras has no name: Keras allows no dots.
static bool underscored(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    if (!node_prefix(g, node, out, size))
        return false;
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '.' || *c == '/' ? '_' : *c;
    return true;
}
// Every row's.
static const struct dialect common[] = {
    {"canonical", FILE_TORCH, NULL}, {"graft's Keras files", FILE_KERAS, underscored}, {0}};

static graft_status candidate_fit(struct candidate *c, const struct graph *g, const struct found *found,
                                  const struct tensor_set *set)
{
    struct keys expected = {0};
    const graft_status status = keys_expected(c->net, g, c->dialect, c->form, &expected);
    if (status == GRAFT_OK)
        c->fit = join(c->net, g, c->dialect, &expected, keys_of(found, c->form), set, NULL, NULL);
    keys_free(&expected);
    return status;
}

static void take_nearer(struct candidate *best, const struct candidate *c)
{
    if (best->dialect == NULL || differences(c->fit) < differences(best->fit))
        *best = *c;
}

// The best dialect of a row; fit.matched stays 0 when none is of the file's kind.
static graft_status network_fit(const struct network *net, const struct found *found, const struct tensor_set *set,
                                struct candidate *out)
{
    struct graph g = {0};
    graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
    *out = (struct candidate){.net = net};
    for (int shared = 0; shared < 2; shared++)
        for (const struct dialect *d = shared ? common : net->dialects; status == GRAFT_OK && d->title != NULL; d++) {
            if (found->keras != (d->layout != FILE_TORCH))
                continue;
            struct candidate c = {.net = net, .dialect = d, .form = found->form,
                                  .own = shared ? 0 : found->form == BY_NAME ? 2 : 1};
            status = candidate_fit(&c, &g, found, set);
            if (c.fit.matched > 0)
                take_nearer(out, &c);
            // Names of another hand: the order of layers, where all of it fits.
            struct candidate placed = {.net = net, .dialect = d, .form = BY_PLACE, .own = 1};
            if (status == GRAFT_OK && !shared && found->keras && found->form == BY_NAME && differences(c.fit) > 0) {
                status = candidate_fit(&placed, &g, found, set);
                if (placed.fit.extra + placed.fit.misshapen == 0)
                    take_nearer(out, &placed);
            }
        }
    graph_fini(&g);
    return status;
}

// Below 0: `a` is nearer.
static int compare(const struct candidate *a, const struct candidate *b)
{
    const int more = differences(a->fit) - differences(b->fit);
    return more != 0 ? more : b->own - a->own;
}

static void choice_add(struct choice *choice, const struct candidate *c)
{
    const int order = choice->count == 0 ? -1 : compare(c, &choice->items[0]);
    if (order < 0)
        choice->count = 0;
    if (order <= 0 && choice->count < CANDIDATES)
        choice->items[choice->count++] = *c;
}

static graft_status choose(const struct tensor_set *set, const struct match_request *request, const struct found *found,
                           struct choice *out)
{
    const struct network *net;
    for (int i = -1; i < 0 || (net = zoo_at(i)) != NULL; i++) { // the hint first: it may be of a width that is no row
        struct candidate c;
        net = i < 0 ? request->hint : net;
        if (net == NULL || (i >= 0 && (request->exact || net == request->hint)))
            continue;
        TRY(network_fit(net, found, set, &c));
        if (net == request->hint && c.form == BY_NAME) // an order of layers says less than a variant's own names
            c.own = 2;
        if (c.fit.matched > 0)
            choice_add(out, &c);
    }
    return GRAFT_OK;
}

// Where the names fit and the shapes do not, the network may be wider or thinner.
static graft_status try_widths(const struct tensor_set *set, const struct found *found, struct choice *out)
{
    const struct network *first = out->items[0].net, *net, *other;
    if (out->items[0].fit.misshapen == 0)
        return GRAFT_OK;
    for (int i = 0; (net = zoo_at(i)) != NULL; i++)
        for (int percent = 5; net->widened != NULL && zoo_variants(net, first) && percent <= 200; percent += 5) {
            struct candidate c;
            if ((other = net->widened(net, percent / 100.0)) == NULL)
                return fail_memory("networks of other widths");
            TRY(network_fit(other, found, set, &c));
            if (c.fit.matched > 0 && compare(&c, &out->items[0]) < 0) // the first of several widths with equal channels
                choice_add(out, &c);
        }
    return GRAFT_OK;
}

// How much of the path is one of the row's published files, without its hash and extension.
static size_t name_evidence(const struct network *net, const char *path)
{
    size_t best = 0;
    for (int i = 0; path != NULL && net->files[i] != NULL; i++) {
        char stem[NAME_SIZE];
        snprintf(stem, sizeof stem, "%s", net->files[i]);
        char *dot = strrchr(stem, '.'), *dash;
        if (dot != NULL)
            *dot = '\0';
        dash = strrchr(stem, '-');
        if (dash != NULL && strlen(dash + 1) == 8 && strspn(dash + 1, "0123456789abcdef") == 8)
            *dash = '\0';
        if (strlen(stem) > best && strstr(path, stem) != NULL)
            best = strlen(stem);
    }
    return best;
}

static const char *told_apart(const struct network *net) { return net->differs != NULL ? net->differs : net->title; }

// Among equally good rows: the one said by its full name, else the one the file is named after, else what was said.
static graft_status settle(struct choice *choice, const struct match_request *request)
{
    const struct candidate *said = NULL, *named = NULL;
    size_t evidence[CANDIDATES], most = 0;
    for (int i = 0; i < choice->count; i++) {
        evidence[i] = name_evidence(choice->items[i].net, request->path);
        most = evidence[i] > most ? evidence[i] : most;
        if (choice->items[i].net == request->hint)
            said = &choice->items[i];
    }
    int holders = 0;
    for (int i = 0; i < choice->count; i++)
        if (most > 0 && evidence[i] == most && holders++ == 0)
            named = &choice->items[i];
    const bool full = said != NULL && strchr(said->net->name, '.') != NULL;
    const struct candidate *taken = full || holders != 1 ? said : named;
    char others[768] = "";
    for (int i = 0, used = 0; i < choice->count && used < (int)sizeof others; i++)
        if (&choice->items[i] != taken)
            used += snprintf(others + used, sizeof others - (size_t)used, "%s%s (%s)", used > 0 ? ", " : "",
                             choice->items[i].net->name, told_apart(choice->items[i].net));
    if (taken == NULL)
        return fail(GRAFT_BAD_FILE,
                    "its tensors fit several networks: %s; say which with -m, or give the file its published "
                    "name",
                    others);
    if (!full)
        log_info("the tensors fit several networks; taken for %s (%s), %s; -m would choose %s", taken->net->name,
                 told_apart(taken->net), taken == said && holders != 1 ? "as asked" : "by the file's name", others);
    choice->items[0] = *taken;
    choice->count = 1;
    return GRAFT_OK;
}

// --- saying what is wrong --------------------------------------------------------------------------------------------

struct list { char text[512]; int used, count; };

static void list_add(struct list *list, const char *name, const char *more)
{
    const size_t left = sizeof list->text - (size_t)list->used;
    if (list->count++ < NAMED && list->used < (int)sizeof list->text)
        list->used += snprintf(list->text + list->used, left, "%s'%s'%s%s", list->count > 1 ? ", " : "", name,
                               more[0] != '\0' ? " " : "", more);
    else if (list->count == NAMED + 1 && list->used < (int)sizeof list->text)
        list->used += snprintf(list->text + list->used, left, ", ...");
}

// Without its head a file lacks whole dense layers at the end (Keras's notop); the caller decides about those.
static int rows_kept(const struct graph *g, const int *tensor_of)
{
    int rows = g->n_rows;
    for (int i = 0; i < g->n_params; i++) {
        const struct node *node = &g->nodes[g->params[i].node];
        if (node->op == OP_DENSE && node->row < rows && tensor_of[node->param[0]] < 0)
            rows = node->row;
    }
    for (int i = 0; i < g->n_params; i++)
        if (g->nodes[g->params[i].node].row >= rows && tensor_of[i] >= 0)
            return g->n_rows; // a hole, not an end
    return rows;
}

// A classifier that someone put in the head's place ("dense_1"): the file's only layer without a place, of the head's
// inputs.  It becomes the head.
static void adopt_head(const struct candidate *c, const struct graph *g, const struct tensor_set *set,
                       const struct keys *found, int *tensor_of, int *param_of)
{
    int spare[MAX_PARAMS], chosen[MAX_PARAMS], n_spare = 0, head = -1;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == OP_DENSE && is_head(c->net, g->params[g->nodes[i].param[0]].name))
            head = i;
    for (size_t i = 0; i < found->count; i++)
        if (param_of[found->items[i].index] < 0 && n_spare++ < MAX_PARAMS)
            spare[n_spare - 1] = found->items[i].index;
    if (head < 0 || n_spare != g->nodes[head].n_params)
        return;
    for (int k = 0; k < n_spare; k++) { // the kernel and the bias differ in rank
        const int param = g->nodes[head].param[k];
        chosen[k] = -1;
        for (int i = 0; i < n_spare; i++)
            if (set->items[spare[i]].shape.rank == g->params[param].shape.rank)
                chosen[k] = spare[i];
        const struct shape shape = chosen[k] >= 0 ? set->items[chosen[k]].shape : (struct shape){0};
        if (tensor_of[param] >= 0 || chosen[k] < 0 ||
            !shape_equal(wanted_shape(c->net, g, c->dialect, param, shape), shape))
            return;
    }
    for (int k = 0; k < n_spare; k++) {
        tensor_of[g->nodes[head].param[k]] = chosen[k];
        param_of[chosen[k]] = g->nodes[head].param[k];
    }
    log_info("'%s' is taken as the head, '%s'", set->items[chosen[0]].name, c->net->head);
}

static graft_status complain(const struct candidate *c, const struct graph *g, const struct tensor_set *set,
                             const struct keys *found, const int *tensor_of, const int *param_of)
{
    struct list missing = {0}, extra = {0}, misshapen = {0};
    const int rows = rows_kept(g, tensor_of);
    for (int i = 0; i < g->n_params; i++)
        if (tensor_of[i] < 0 && !g->params[i].constant && g->nodes[g->params[i].node].row < rows)
            list_add(&missing, g->params[i].name, shape_text(g->params[i].shape));
    for (size_t i = 0; i < found->count; i++) {
        const int tensor = found->items[i].index, param = param_of[tensor];
        const struct named_tensor *t = &set->items[tensor];
        if (param < 0) {
            list_add(&extra, t->name, shape_text(t->shape));
            continue;
        }
        const struct shape wanted = wanted_shape(c->net, g, c->dialect, param, t->shape);
        char text[256];
        snprintf(text, sizeof text, "is %s; %s expects %s", shape_text(t->shape), c->net->name, shape_text(wanted));
        if (!shape_equal(wanted, t->shape))
            list_add(&misshapen, t->name, text);
    }
    if (missing.count + extra.count + misshapen.count == 0)
        return GRAFT_OK;
    char text[3][700] = {""};
    if (missing.count > 0)
        snprintf(text[0], sizeof text[0], "; missing: %d (%s)", missing.count, missing.text);
    if (extra.count > 0)
        snprintf(text[1], sizeof text[1], "; without a place in it: %d (%s)", extra.count, extra.text);
    if (misshapen.count > 0)
        snprintf(text[2], sizeof text[2], "; of another shape: %d (tensor %s)", misshapen.count, misshapen.text);
    return fail(GRAFT_BAD_FILE, "nearest to %s under %s's names, %d of %d tensors fit%s%s%s", c->net->name,
                c->dialect->title, c->fit.matched, g->n_params, text[0], text[1], text[2]);
}

// Weight and bias of a head must agree about the number of classes.
static graft_status check_head(const char *head, const struct tensor_set *set)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s.weight", head);
    const struct named_tensor *weight = tensor_find(set, name);
    snprintf(name, sizeof name, "%s.bias", head);
    const struct named_tensor *bias = tensor_find(set, name);
    if (weight != NULL && bias != NULL && weight->shape.dim[0] != bias->shape.dim[0])
        return fail(GRAFT_BAD_FILE, "tensor '%s' is %s, its weight %s", name, shape_text(bias->shape),
                    shape_text(weight->shape));
    return GRAFT_OK;
}

// --- taking the tensors over -----------------------------------------------------------------------------------------

// The canonical shape, and how the file's own bytes hold it; a head of another number of classes keeps its own.
static graft_status relay(struct named_tensor *t, const struct dialect *dialect, bool turn, struct graph *g, int param)
{
    const enum op op = g->nodes[g->params[param].node].op;
    size_t count;
    if (op == OP_SCALE)
        t->shape = g->params[param].shape;
    if (dialect->layout == FILE_TORCH || (op != OP_CONV && op != OP_DENSE) ||
        g->nodes[g->params[param].node].param[0] != param)
        return GRAFT_OK;
    struct shape *shape = &g->params[param].shape; // the graph is ours: it takes the file's classes and map
    if (op == OP_DENSE)
        *shape = SHAPE(t->shape.dim[1], t->shape.dim[0]);
    if (!shape_count(*shape, &count) || count == 0)
        return fail(GRAFT_BAD_FILE, "tensor '%s' has an impossible shape %s", t->name, shape_text(t->shape));
    t->shape = *shape;
    t->order = file_order_of(dialect->layout, turn, g, param);
    return GRAFT_OK;
}

// Kernels are turned in Theano's own layout, and in Keras 2's where Theano wrote them; the file's name overrules, and
// what the person says overrules both.
static bool is_turned(const struct dialect *dialect, const struct tensor_set *set, const struct match_request *request)
{
    const char *path = request->path;
    if (request->kernels != KERNELS_TOLD && !request->exact)
        return request->kernels == KERNELS_TH;
    if (path != NULL && strstr(path, "th_kernels") != NULL)
        return true;
    if (path != NULL && strstr(path, "tf_kernels") != NULL)
        return false;
    return dialect->layout == FILE_THEANO ||
           (set->metadata != NULL && strstr(set->metadata, "\"backend\":\"theano\"") != NULL);
}

// Renames, and says how the bytes lie; drops what is no parameter.
static graft_status take_over(const struct candidate *c, struct graph *g, const int *param_of,
                              const struct match_request *request, struct tensor_set *set)
{
    const bool turn = is_turned(c->dialect, set, request);
    size_t kept = 0;
    graft_status status = GRAFT_OK;
    for (size_t i = 0; i < set->count; i++) {
        struct named_tensor *t = &set->items[i];
        if (param_of[i] < 0) {
            mem_free(t->name);
            continue;
        }
        char *name = status == GRAFT_OK ? mem_text(g->params[param_of[i]].name) : NULL;
        if (name != NULL) {
            mem_free(t->name);
            t->name = name;
            status = relay(t, c->dialect, turn, g, param_of[i]);
        } else if (status == GRAFT_OK)
            status = fail_memory("a tensor's name");
        set->items[kept++] = *t;
    }
    set->count = kept;
    return status;
}

static graft_status apply(const struct candidate *c, const struct found *keys, const struct match_request *request,
                          struct tensor_set *set)
{
    const struct keys *found = keys_of(keys, c->form);
    struct graph g = {0};
    struct keys expected = {0};
    int *tensor_of = NULL, *param_of = NULL;
    graft_status status = c->net->build(c->net, &g, c->net->input.size, c->net->classes, c->net->dropout);
    if (status != GRAFT_OK)
        goto done;
    TRY_GOTO(keys_expected(c->net, &g, c->dialect, c->form, &expected));
    tensor_of = mem_alloc(((size_t)g.n_params + 1) * sizeof *tensor_of);
    param_of = mem_alloc((set->count + 1) * sizeof *param_of);
    if (tensor_of == NULL || param_of == NULL)
        TRY_GOTO(fail_memory("tensors' names"));
    memset(tensor_of, -1, ((size_t)g.n_params + 1) * sizeof *tensor_of); // all bits set: -1
    memset(param_of, -1, (set->count + 1) * sizeof *param_of);
    join(c->net, &g, c->dialect, &expected, found, set, tensor_of, param_of);
    adopt_head(c, &g, set, found, tensor_of, param_of);
    TRY_GOTO(complain(c, &g, set, found, tensor_of, param_of));
    TRY_GOTO(take_over(c, &g, param_of, request, set));
    TRY_GOTO(check_head(c->net->head, set));
    for (int i = 0; i < network_aux_count(c->net); i++)
        TRY_GOTO(check_head(c->net->aux[i].name, set));
done:
    mem_free(tensor_of);
    mem_free(param_of);
    keys_free(&expected);
    graph_fini(&g);
    return status;
}

graft_status zoo_match(struct tensor_set *set, const struct match_request *request, const struct network **out)
{
    struct found found = {0};
    struct choice choice = {0};
    graft_status status;
    *out = NULL;
    TRY_GOTO(found_read(set, &found));
    TRY_GOTO(choose(set, request, &found, &choice));
    if (choice.count > 0 && !request->exact)
        TRY_GOTO(try_widths(set, &found, &choice));
    if (choice.count == 0 || choice.items[0].fit.matched * 4 < (int)found.named.count)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "none of the %zu tensors (the first: '%s') is of a network graft knows; `graft models` "
                      "lists them",
                      set->count, set->count > 0 ? set->items[0].name : "none"));
    const struct network *first = choice.items[0].net;
    if (request->hint != NULL && !zoo_variants(first, request->hint))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "the file holds %s, not %s; use -m %s", first->name, request->hint->name,
                      first->name));
    if (choice.count > 1)
        TRY_GOTO(settle(&choice, request));
    *out = choice.items[0].net;
    TRY_GOTO(apply(&choice.items[0], &found, request, set));
done:
    keys_free(&found.named);
    keys_free(&found.placed);
    return status;
}
