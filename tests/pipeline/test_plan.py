"""Plans: pure, shared where they may be, different where numbers are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.api.features import Features
from ddbench.api.recipe import Training
from ddbench.api.types import DatasetInfo
from ddbench.config.grid import Selection, expand
from ddbench.pipeline.plan import PlannedStage, plan, same_batches
from ddbench.pipeline.specs import Evaluate, data_key
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.labellers.fkd import FKD


def _plans(registry, **choices):
    return expand(Selection(**{"seeds": 1, "reference": False, **choices}), registry, None)


def _keys(made):
    return {stage.stage: stage.key for stage in made.stages()}


def test_the_stages_of_wmdd(registry):
    (made,) = _plans(registry)
    names = [stage.stage for stage in made.stages()]
    assert names == ["squeeze", "statistics", "statistics", "targets", "recover", "evaluate"]


def test_random_with_hard_labels_needs_no_teacher(registry):
    (made,) = _plans(registry, methods=("random",), labels=("hard",))
    assert [stage.stage for stage in made.stages()] == ["recover", "evaluate"]


def test_a_selection_in_feature_space_needs_a_teacher_and_its_features_but_no_loss(registry):
    (made,) = _plans(registry, methods=("herding",), labels=("hard",))
    names = [stage.stage for stage in made.stages()]
    assert names == ["squeeze", "statistics", "recover", "evaluate"]
    assert made.recover.inputs == (made.squeeze.key, made.statistics[0].key)
    cell, wmdd = made.cell, _plans(registry)[0].cell.recipe
    losses = {"matchers": wmdd.matchers, "regularizers": wmdd.regularizers}
    with_losses = plan(replace(cell, recipe=replace(cell.recipe, **losses)), made.info)
    assert _keys(with_losses) == _keys(made)
    other = replace(cell.recipe, distiller=replace(cell.recipe.distiller, layer="features"))
    elsewhere = plan(replace(cell, recipe=other), made.info)
    assert elsewhere.squeeze.key == made.squeeze.key
    assert elsewhere.statistics[0].key != made.statistics[0].key


def test_labels_asked_once_are_a_stage_of_their_own(registry):
    (made,) = _plans(registry, labels=("soft",))
    assert "relabel" in _keys(made)


def test_equal_cells_give_equal_plans(registry):
    assert _keys(_plans(registry)[0]) == _keys(_plans(registry)[0])


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"regularizer.weight": "3"}, {"squeeze", "statistics", "targets"}),
        ({"recover.lr": "0.3"}, {"squeeze", "statistics", "targets"}),
        ({"matcher.norm": "l2"}, {"squeeze", "statistics", "targets"}),
        ({"matcher.target.theta": "0.5"}, {"squeeze", "statistics"}),
        ({"evaluate.epochs": "7"}, {"squeeze", "statistics", "targets", "recover"}),
        ({"relabel.temperature": "3"}, {"squeeze", "statistics", "targets", "recover"}),
        ({"squeeze.epochs": "3"}, set()),
    ],
)
def test_a_change_reaches_only_what_it_bears_on(registry, change, kept):
    set_first = {"matcher.norm": "squared"}
    before = _keys(_plans(registry, assignments=set_first)[0])
    after = _keys(_plans(registry, assignments={**set_first, **change})[0])
    assert {name for name in before if before[name] == after[name]} == kept


def test_a_new_student_never_distils_again(registry):
    plans = _plans(registry, students=("resnet18", "resnet50", "vit_tiny"))
    assert len({p.recover.key for p in plans}) == 1
    assert len({p.evaluate[0].key for p in plans}) == 3


def _trained(made, stage):
    (found,) = [s for s in made.stages() if s.stage == stage]
    return found.spec.training.warmup


def test_students_that_ask_for_a_warm_up_get_it_where_the_protocol_says_so(registry):
    transformer, resnet = _plans(registry, students=("vit_tiny", "resnet18"))
    assert [_trained(made, "evaluate") for made in (transformer, resnet)] == [0.1, 0]
    (paper,) = _plans(registry, students=("vit_tiny",), protocols=("wmdd",))
    assert _trained(paper, "evaluate") == 0


def test_teachers_that_ask_for_a_warm_up_get_it_unless_their_schedule_has_one(registry):
    parts = {"methods": ("random",), "teachers": ("vit_tiny",)}
    (cosine,) = _plans(registry, **parts)
    assert _trained(cosine, "squeeze") == 0.1
    (onecycle,) = _plans(registry, **parts, assignments={"squeeze.schedule": "onecycle"})
    assert _trained(onecycle, "squeeze") == 0


def test_seeds_share_the_teacher_and_differ_below(registry):
    one, two = _plans(registry, seeds=2)
    assert one.squeeze.key == two.squeeze.key
    assert [s.key for s in one.statistics] == [s.key for s in two.statistics]
    assert one.teachers[0].targets[0].key != two.teachers[0].targets[0].key
    assert one.recover.key != two.recover.key


def test_the_order_of_arguments_never_matters(registry):
    one = _plans(registry, methods=("wmdd", "sre2l"), ipcs=(1, 2))
    two = _plans(registry, methods=("sre2l", "wmdd"), ipcs=(2, 1))
    assert {p.key for p in one} == {p.key for p in two}


def test_precision_counts_where_networks_run(registry):
    (wmdd,) = _plans(registry)
    half = plan(replace(wmdd.cell, precision="bf16"), wmdd.info)
    assert half.recover.key != wmdd.recover.key
    (random,) = _plans(registry, methods=("random",))
    half = plan(replace(random.cell, precision="bf16"), random.info)
    assert half.recover.key == random.recover.key
    assert half.evaluate[0].key != random.evaluate[0].key


def test_what_evaluators_see_through_a_teacher_is_in_the_key_of_a_cell_that_asks_none(registry):
    """Random images under hard labels: the accuracy is that of every teacher, W2 is not."""

    def key(epochs, extra, **choices):
        (made,) = expand(
            Selection(
                methods=("random",), seeds=1, reference=False,
                assignments={"squeeze.epochs": str(epochs)}, **choices,
            ),
            registry, None, extra, warn_unused=False,
        )  # fmt: skip
        return made.key, made.looked

    hard = {"labels": ("hard",)}
    assert key(1, (), **hard) == key(4, (), **hard)
    one, other = (key(epochs, (Features(),), **hard) for epochs in (1, 4))
    assert one[0] != other[0]
    assert one[1]
    assert key(1, (Features(),), labels=("fkd",))[1] == ()  # the teacher is in its labels' key


def test_the_same_batches_are_those_of_one_distilled_set_and_seed(info: DatasetInfo) -> None:
    spec = Evaluate(
        data=data_key(info), student=ConvNetD(), labeller=FKD(), training=Training(epochs=2),
        holdout=0.0, holdout_every=0, seed=0, run=0, precision="fp32",
    )  # fmt: skip
    planned = PlannedStage("evaluate", spec, ("images", "teacher"))
    for change in ({"run": 3}, {"student": ResNet(18)}, {"holdout_every": 10}):
        assert same_batches(planned, replace(planned, spec=replace(spec, **change)))
    for change in (
        {"seed": 1}, {"training": Training(epochs=3)}, {"holdout": 0.2}, {"precision": "bf16"},
        {"labeller": FKD(store=True)},
    ):  # fmt: skip
        assert not same_batches(planned, replace(planned, spec=replace(spec, **change)))
    assert not same_batches(planned, replace(planned, inputs=("other images", "teacher")))


def test_labels_stored_by_the_first_release_are_found(registry):
    """The seed of their views is too large for a float, and keys have spelt it as one."""
    (made,) = _plans(registry, methods=("wmdd",), seeds=1, reference=False)
    recipe = replace(made.cell.recipe, labeller=FKD(store=True))
    stored = plan(replace(made.cell, recipe=recipe), made.info)
    assert stored.relabel.key == "1b153fd8d90aa9160a5d"
    assert stored.key == "ba9610e4c1e4b7c0d40f"
