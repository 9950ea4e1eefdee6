import itertools

import numpy as np

from kerasvis.analyses.filters.filter_duplicates import earlier_twins


def test_is_the_largest_correlation_with_an_earlier_filter():
    kernels = np.random.default_rng(0).normal(size=(3, 5, 2, 7))
    is_dead = np.array([0, 0, 1, 0, 0, 0, 1], bool)
    twins, correlations = earlier_twins(kernels, is_dead)
    for number in range(7):
        best, twin = -1, -1
        for earlier in range(number):
            if is_dead[number] or is_dead[earlier]:
                continue
            products = [0.0, 0.0, 0.0]
            for place in itertools.product(*map(range, kernels.shape[:3])):
                a, b = kernels[place][number], kernels[place][earlier]
                products = [p + q for p, q in zip(products, (a * b, a * a, b * b), strict=True)]
            correlation = products[0] / (products[1] * products[2]) ** 0.5
            if correlation > best:
                best, twin = correlation, earlier
        assert twins[number] == twin
        np.testing.assert_allclose(correlations[number], best, rtol=1e-5)


def test_of_k_copies_all_but_the_first_have_a_twin():
    kernels = np.random.default_rng(0).normal(size=(5, 3, 3, 20))
    copies = [4, 9, 10, 17]
    for factor, number in enumerate(copies, 1):
        kernels[..., number] = factor * kernels[..., 4]
    twins, correlations = earlier_twins(kernels, np.zeros(20, bool))
    assert np.flatnonzero(correlations > 0.99).tolist() == [9, 10, 17]
    assert twins[[9, 10, 17]].tolist() == [4, 4, 4]


def test_opposite_signs_are_not_alike():
    kernels = np.random.default_rng(0).normal(size=(3, 3, 1, 1))
    pair = np.concatenate([kernels, -kernels], axis=-1)
    np.testing.assert_allclose(earlier_twins(pair, np.zeros(2, bool))[1], [-1, -1], rtol=1e-6)


def test_filters_of_zeros_and_a_single_filter():
    twins, correlations = earlier_twins(np.zeros((3, 3, 3, 4)), np.zeros(4, bool))
    assert twins.tolist() == correlations.tolist() == [-1] * 4
    twins, correlations = earlier_twins(np.ones((3, 3, 3, 1)), np.zeros(1, bool))
    assert twins.tolist() == correlations.tolist() == [-1]
