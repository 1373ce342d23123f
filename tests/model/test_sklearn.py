from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from aimgan import AimganError
from aimgan.sklearn import AIMEncoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two steps are few
QUICK = AIMEncoder(dim=2, width=8, steps=2, batch_size=16)


@parametrize_with_checks([QUICK])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600]


@pytest.fixture(scope="module")
def fitted(digits) -> AIMEncoder:
    """Trained on the digits 0 to 4."""
    X, y = digits
    vae = AIMEncoder(dim=6, objective="vae", image_shape=(8, 8), steps=300, width=64, lr=3e-3)
    return vae.fit(X[y < 5])  # of all objectives the one that rebuilds best after so few steps


def test_codes_and_images_have_the_units_of_the_data(fitted, digits):
    X = digits[0][:20]
    codes, names = fitted.transform(X), fitted.get_feature_names_out()
    assert codes.shape == (20, 6)
    assert list(names[:2]) == ["aimencoder0", "aimencoder1"]
    images = fitted.inverse_transform(codes)
    assert images.shape == X.shape
    assert -1e-4 <= images.min() < 2 < 10 < images.max() <= 16 + 1e-4
    assert np.allclose(fitted.model_.generate(3).flatten(1).numpy().max(), 1, atol=0.2)
    assert fitted.model_.shape == (1, 8, 8)


def test_the_score_is_the_share_of_variance_that_is_explained(fitted, digits):
    X, y = digits
    X = X[y < 5]
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    share = 1 - np.square(X - rebuilt).sum() / np.square(X - X.mean(axis=0)).sum()
    assert fitted.score(X) == pytest.approx(share, abs=1e-4)
    assert fitted.score(X) > 0.3


def test_a_fit_that_explains_less_than_the_mean_warns(digits):
    with pytest.warns(
        ConvergenceWarning, match=r"explain -\d.* of the variance of X, and the mean of all rows explains 0"
    ):
        clone(QUICK).set_params(image_shape=(8, 8)).fit(digits[0][:60])


def test_what_was_left_out_and_noise_are_anomalies(fitted, digits):
    X, y = digits
    known, unknown = fitted.anomaly_score(X[y < 5]), fitted.anomaly_score(X[y >= 5])
    noise = fitted.anomaly_score(np.random.default_rng(0).uniform(0, 16, (200, 64)))
    assert known.shape == (sum(y < 5),)
    assert abs(known.mean()) < 1e-4  # standardised on these very rows
    auc = [roc_auc_score([0] * len(known) + [1] * len(odd), [*known, *odd]) for odd in (unknown, noise)]
    assert auc[0] > 0.75
    assert auc[1] > 0.99


@pytest.mark.parametrize("shape", [None, (8, 8), (1, 8, 8)])
def test_the_same_seed_gives_the_same_codes(digits, shape):
    X = digits[0][:50]
    codes = [clone(QUICK).set_params(image_shape=shape, random_state=seed).fit_transform(X) for seed in (0, 0, 1)]
    assert np.array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])


def test_features_keep_their_own_units(digits):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) * [1e-3, 1, 1e6] + [0, 5, -1e7]
    X = np.hstack([X, np.full((100, 1), 7.0)])  # and one that never varies
    scaled = X * [1, 2, 3, 4]
    codes = [clone(QUICK).fit_transform(rows) for rows in (X, scaled)]
    assert np.allclose(*codes, atol=1e-4)
    rebuilt = clone(QUICK).fit(X).inverse_transform(codes[0])
    assert (np.abs(rebuilt - X.mean(axis=0)) < 5 * X.std(axis=0) + 2).all()


def test_a_column_is_constant_by_its_own_scale_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6)) * [1e-9, 1e-9, 1e-30, 0, 0, 1e-3] + [1e6, 0, 0, 0.1, 0, 1e6]
    constant = [True, False, False, True, True, False]
    fitted = clone(QUICK).fit(X)
    expected = StandardScaler().fit(X)
    assert np.allclose(fitted.scale_, expected.scale_, rtol=1e-6, atol=0)
    assert np.allclose(fitted.offset_, expected.mean_)
    assert list(fitted.scale_ == 1) == constant
    scaled = fitted._scaled(X).numpy()
    assert np.abs(scaled[:, constant]).max() < 1e-6
    assert np.allclose(scaled[:, ~np.array(constant)].std(axis=0), 1, atol=1e-3)


def test_rows_that_are_all_alike_are_no_anomaly():
    X = np.full((20, 3), 0.1)
    fitted = clone(QUICK).fit(X)
    assert np.abs(fitted.anomaly_score(X)).max() < 5


def test_new_images_may_be_brighter_than_all_that_were_trained_on(digits):
    X = digits[0][:60]
    fitted = clone(QUICK).set_params(image_shape=(8, 8)).fit(X / 2)
    assert np.isfinite(fitted.transform(X)).all()
    assert np.isfinite(fitted.score(X))
    assert fitted.anomaly_score(X).mean() > fitted.anomaly_score(X / 2).mean()


def test_numpys_numbers_are_parameters(digits, tmp_path):
    X = digits[0][:60]
    search = GridSearchCV(QUICK, {"dim": np.arange(2, 4), "lr": np.logspace(-4, -3, 2, dtype="f4")}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    plain = {"dim": 3, "width": 8, "steps": 2, "batch_size": 16, "random_state": 1}
    given = {name: np.int64(value) for name, value in plain.items()}
    shapes = {"image_shape": np.array([8, 8])}, {"image_shape": (8, 8)}
    options = {"options": {"weight": np.float32(0.5)}, "lr": np.float32(0.25)}, {"options": {"weight": 0.5}, "lr": 0.25}
    for folder, numbers, shape, more in zip("ab", (given, plain), shapes, options, strict=True):
        AIMEncoder(**numbers, **shape, **more).fit(X).model_.save(tmp_path / folder)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in "ab"]
    assert contents[0] == contents[1]


def test_in_a_pipeline_a_grid_search_and_pandas(digits):
    X, y = digits
    pipeline = make_pipeline(clone(QUICK).set_params(image_shape=(8, 8)), LogisticRegression(max_iter=50))
    search = GridSearchCV(pipeline, {"aimencoder__dim": [2, 3]}, cv=2).fit(X, y)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    alone = GridSearchCV(QUICK, {"dim": [2, 3]}, cv=2).fit(X)  # by the score of the estimator itself
    assert np.isfinite(alone.cv_results_["mean_test_score"]).all()
    frame = clone(QUICK).set_output(transform="pandas").fit(X).transform(X)
    assert list(frame.columns) == ["aimencoder0", "aimencoder1"]


def test_copies_and_pickles_answer_alike(fitted, digits, tmp_path):
    X = digits[0][:5]
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(other.transform(X), fitted.transform(X))
        assert np.array_equal(other.anomaly_score(X), fitted.anomaly_score(X))
    import aimgan

    fitted.model_.save(tmp_path)
    x = fitted._scaled(X)
    assert np.array_equal(aimgan.load(tmp_path).encode(x).mean.numpy(), fitted.model_.encode(x).mean.numpy())


def test_convolutions_on_images(digits):
    small = AIMEncoder(dim=2, networks="table4", image_shape=(8, 8), width=16, steps=2)
    assert small.fit_transform(digits[0][:50].astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "aimm"}, "unknown objective 'aimm'; did you mean 'aim'"),
        ({"objective": "gan"}, "gan has no encoder"),
        ({"options": {"wieght": 1}}, "unknown option of aim 'wieght'; did you mean 'weight'"),
        ({"networks": "table5"}, "unknown network family 'table5'"),
        ({"image_shape": (28, 28)}, r"\(1, 28, 28\) has 784 numbers; X has 64 a row"),
        ({"dim": 0}, "dim is 0; expected at least 1"),
        ({"dim": 2.0}, "dim is 2.0; expected an integer"),
        ({"width": True}, "width is True; expected an integer"),
        ({"steps": 2.0}, "steps is 2.0; expected an integer"),
        ({"image_shape": (8.0, 8)}, "a side of image_shape is 8.0; expected an integer"),
        ({"lr": -1.0}, "lr is -1.0; expected a number above zero"),
        ({"lr": 1e30, "steps": 5}, "the weights are not finite after 5 steps: take a lower lr"),
    ],
)
def test_a_wrong_parameter_is_named(digits, parameters, message):
    with pytest.raises(AimganError, match=message):
        clone(QUICK).set_params(**parameters).fit(digits[0][:50])
