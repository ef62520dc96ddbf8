/* A network: a chain of layers with its memory. */
#ifndef SPHERENET_NET_NET_H
#define SPHERENET_NET_NET_H

#include "layer/chain.h"
#include "layer/layers.h"
#include "layer/times.h"

struct net {
    struct arena arena;
    struct planner planner;
    struct chain chain;
    struct plan_memory memory;
    int batch;    /* most images in one pass */
    real *output; /* logits, where the last layers are maps; else NULL */
    /* The last layer, where that is a dense one; else NULL. Its input is the image's feature. When an angular loss
     * trains it, it puts out cosines, and x_norm and x_norm_gradient are the loss's (loss/loss.h). */
    struct sphere_op *classifier;
    int tensor_count;
    struct tensor **tensors;
    struct layer_times *times; /* the caller's, with room for every layer; NULL: passes are not measured */
};

/* Plans the layers for images of that shape: checks shapes and names, but allocates no tensor. The last layer must put
 * out `classes` values. False, with diagnostics, when the layers do not fit. Free with net_free in either case. */
bool net_plan(struct net *net, const struct choice_list *layers, struct shape in, int classes, int batch,
              struct diagnostics *diags);

/* Allocates the planned memory and draws the initial weights from the seed. */
bool net_allocate(struct net *net, uint64_t seed, struct error *err);
void net_free(struct net *net);

/* images: [n][height][width][channels], n <= batch. Returns the logits, [n][classes]; valid until the next call. */
const real *net_forward(struct net *net, int n, const real *images, bool training);

/* to: [n][net_feature_width], the features of the last forward pass, on the same n images. Only where there is a
 * classifier. */
void net_features(const struct net *net, int n, const real *images, real *to);
int net_feature_width(const struct net *net);

/* Sets all gradients; `images` and n are those of the forward pass before, which must have been a training one. Its
 * activations are gone afterwards, the logits among them. */
void net_backward(struct net *net, int n, const real *dlogits, const real *images);

/* A tensor in the order checkpoints store it, and back. stored: tensor->count reals. */
void tensor_to_stored(real *stored, const struct tensor *tensor, const real *memory);
void tensor_from_stored(real *memory, const struct tensor *tensor, const real *stored);

#endif
