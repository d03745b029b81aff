"""Make digits_logits.npz: what an overconfident classifier says about handwritten digits that it has not seen.

Run ``python -m softmaxjit._data.make_digits_logits`` with scikit-learn installed; it takes a second.

The digits are the 1797 images that come with scikit-learn (E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten
Digits", UCI Machine Learning Repository, 1998, licence CC BY 4.0).
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

TRAINING_IMAGES = 200
# So few images and next to no penalty make it right 92 % of the time, and sure of itself almost always.
INVERSE_PENALTY = 10_000.0


def make(path: Path) -> None:
    """Train the classifier and save the logits and labels of the images left out of its training."""
    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(
        images / 16.0, digits, train_size=TRAINING_IMAGES, stratify=digits, random_state=0
    )
    # Newton's method converges quadratically, so that another version or machine ends at the same logits, to 1e-5.
    classifier = LogisticRegression(C=INVERSE_PENALTY, tol=1e-8, solver="newton-cholesky").fit(seen, seen_digits)
    logits = classifier.decision_function(unseen).astype(np.float32)
    np.savez_compressed(path, logits=logits, labels=unseen_digits.astype(np.uint8))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("digits_logits.npz"))
