"""Features and neurons of scrambled subjects: read like the subject's own, at the scrambled ones' hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.study import Study
from autointerp.subject.scrambling import hook_of
from autointerp.units.features import FeatureReadout
from autointerp.units.interface import Candidates, Encoder, kind_of
from autointerp.units.neurons import NeuronReadout


def sae_of(name: str, subject: str) -> str:
    """What the counterpart of an SAE on a scrambled subject is called; no SAE of a study has an `@` in its name."""
    return f"{name}@{subject}"


def saes_of(study: Study, subject: str) -> list[str]:
    """The SAEs of a scrambled subject: one for each that the study trains."""
    return [sae_of(sae.name, subject) for sae in study.sae if sae.train is not None]


def scrambled_arm(kind: str, subject: str, qualifier: str, several: bool) -> str:
    """`scrambled-neuron:permuted-0`, with `/HOOK` or `/SAE` when a study holds several of them."""
    return f"{kind}:{subject}/{qualifier}" if several else f"{kind}:{subject}"


def subject_of(arm: str) -> str:
    """The scrambled subject whose units an arm holds; '' for the subject itself."""
    if kind_of(arm) not in (ScrambledFeatures.name, ScrambledNeurons.name):
        return ""
    return arm.partition(":")[2].partition("/")[0]


class ScrambledFeatures:
    """Latents of the SAEs that were trained on scrambled subjects."""

    name = "scrambled-feature"
    plural = "SAE features of a scrambled subject"
    oriented = False

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per scrambled subject and SAE that the study trains."""
        arms = []
        for subject in study.scrambled_subjects:
            for sae in study.sae:
                if sae.train is None:
                    continue
                name = sae_of(sae.name, subject.name)
                encoder, latents = encoders[name]
                arm = scrambled_arm(self.name, subject.name, sae.name, len(study.sae) > 1)
                hook = hook_of(sae.hook, subject.name)
                readout = FeatureReadout(arm, hook, name, np.arange(latents), encoder, all_latents=True)
                arms.append(Candidates(readout, study.scrambled.features))
        return arms


class ScrambledNeurons:
    """Neurons of scrambled subjects, at every hook."""

    name = "scrambled-neuron"
    plural = "neurons of a scrambled subject"
    oriented = True

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per scrambled subject and hook."""
        hooks = study.subject.hooks
        return [
            Candidates(
                NeuronReadout(
                    scrambled_arm(self.name, subject.name, hook, len(hooks) > 1),
                    hook_of(hook, subject.name),
                    np.repeat(np.arange(widths[hook]), 2),
                    np.tile(np.array([1, -1]), widths[hook]),
                    np.zeros(2 * widths[hook]),
                ),
                study.scrambled.neurons,
            )
            for subject in study.scrambled_subjects
            for hook in hooks
        ]
