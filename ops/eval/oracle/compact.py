"""Distributions small enough to commit: the target and the k likeliest tokens of each position, as integers."""

import numpy as np

# One unit is 0.1 millinat: far below the differences that are judged (KL of some millinats), and short as text.
UNITS_PER_NAT = 10_000


def compact_distributions(log_probs, targets, k):
    """Arrays for JSON, log-probabilities [positions, vocabulary] in.

    `targetLogprobs` has one number per position, in units of 1 / UNITS_PER_NAT nats; `topIds` and `topLogprobs` are
    [positions * k], each position's k likeliest first. What the k leave of the probability is the rest mass.
    """
    positions = np.arange(len(targets))
    top_ids = np.argsort(-log_probs, axis=-1, kind="stable")[:, :k]

    def units(values):
        return np.rint(values * UNITS_PER_NAT).astype(int).ravel().tolist()

    return {
        "targetLogprobs": units(log_probs[positions, targets]),
        "topIds": top_ids.ravel().tolist(),
        "topLogprobs": units(np.take_along_axis(log_probs, top_ids, axis=-1)),
    }
