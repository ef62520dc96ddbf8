/* Layers as YAML, each named as given: 4 filters, and the size of the image kept. */
#ifndef SPHERENET_TESTS_SUPPORT_F64_LAYERS_H
#define SPHERENET_TESTS_SUPPORT_F64_LAYERS_H

#define SPHERE(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, padding: 1}"
#define SIGMOID(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, padding: 1, operator: {angular: sigmoid}}"
#define CONV(NAME) "{type: conv, name: " NAME ", filters: 4, padding: 1}"
#define DOWN(NAME) "{type: conv, name: " NAME ", filters: 4, kernel: 1, stride: 2}"
#define HALF(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, stride: 2, padding: 1}"
#define BATCH(NAME) "{type: batch_norm, name: " NAME "}"
#define NORM(NAME) "{type: sphere_norm, name: " NAME "}"
#define RELU "{type: relu}"
#define MAX_3X3 "{type: max_pool, kernel: 3, stride: 1, padding: 1}"
#define FLATTEN "{type: flatten}"
#define RESIDUAL(NAME, BODY, SHORTCUT) "{type: residual, name: " NAME ", body: [" BODY "], shortcut: [" SHORTCUT "]}"

#endif
