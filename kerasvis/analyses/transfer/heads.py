"""Linear classifiers on the features of a fixed model: a softmax, and a linear SVM.

Every head is a function with the same arguments, `(features, labels, test_features, num_classes,
seed)`. It trains on `features` `(images, features)` with `labels` `(images,)`, and returns the
predicted labels of `test_features`, int64 `(test images,)`.
"""

import keras
import numpy as np

SVM_PENALTY = 3.0  # C, cross-validated on training images; values up to 30 are as accurate
SOFTMAX_EPOCHS = 30
SOFTMAX_LEARNING_RATE = 30.0  # large, because features of length 1 have small gradients
SOFTMAX_BATCH_SIZE = 128


def normalized(features):
    """Features divided by their Euclidean length, float32; zero vectors stay zero.

    Deviation: the paper does not say how it scales features. At length 1 the same settings of a
    head suit every layer, however strong its activations are.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1)).astype("float32", copy=False)


def softmax_head(features, labels, test_features, num_classes, seed=0):
    """A softmax on the features, trained in Keras.

    It is trained by SGD with a momentum of 0.9 on batches of `SOFTMAX_BATCH_SIZE`. The learning
    rate decays from `SOFTMAX_LEARNING_RATE` along half a cosine in `SOFTMAX_EPOCHS` epochs. All
    weights start at 0.

    Reference:
        Zeiler & Fergus 2013, Section 5.2: "train a new softmax classifier on top".
    """
    keras.utils.set_random_seed(seed)
    head = keras.Sequential(
        [
            keras.Input(features.shape[1:]),
            keras.layers.Dense(num_classes, activation="softmax", kernel_initializer="zeros"),
        ]
    )
    num_steps = SOFTMAX_EPOCHS * -(-len(features) // SOFTMAX_BATCH_SIZE)
    learning_rate = keras.optimizers.schedules.CosineDecay(SOFTMAX_LEARNING_RATE, num_steps)
    head.compile(keras.optimizers.SGD(learning_rate, 0.9), "sparse_categorical_crossentropy")
    head.fit(features, labels, SOFTMAX_BATCH_SIZE, SOFTMAX_EPOCHS, verbose=0)
    return head.predict(test_features, verbose=0).argmax(axis=1)


def svm_head(features, labels, test_features, num_classes, seed=0):
    """A linear SVM on the features, one class against the rest: scikit-learn's `SVC`.

    A linear SVM needs only the inner products of the images, which the SVMs of all classes share.
    `LinearSVC`, which passes over the features for each class, takes several times as long.

    Reference:
        Zeiler & Fergus 2013, Section 5.3 and Table 7.
    """
    from sklearn.multiclass import OneVsRestClassifier  # here: only the SVM needs scikit-learn
    from sklearn.svm import SVC

    svm = OneVsRestClassifier(SVC(C=SVM_PENALTY, kernel="precomputed"))
    svm.fit(_inner_products(features, features), labels)
    return svm.predict(_inner_products(test_features, features))


def _inner_products(one, other):
    return (one @ other.T).astype("float64")  # what scikit-learn computes in


HEADS = {"softmax": softmax_head, "svm": svm_head}
