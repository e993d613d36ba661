"""Public weights by name: where they are published, what they were trained on and under which terms.

Scores are those of the publisher's tables. Terms are those known when this was written; the publisher's own count.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

OPENMMLAB = "https://download.openmmlab.com"  # code and published weights Apache-2.0
PYTORCH = "https://download.pytorch.org"  # torchvision's weights; code BSD-3-Clause
ADDRESS_VARIABLE = "QDTRACK_WEIGHTS_URL"  # the address of a mirror, with the same folders below it


@dataclass(frozen=True)
class PublicWeights:
    """Weights that somebody else publishes.

    Args:
        places: the file below the publisher's address; several where lists of it disagree, tried in turn. The last
            eight hexadecimal digits of its name begin its SHA-256.
        preset: the network and tracker for it, as ``read_preset`` takes it.
        megabytes: about how much there is to fetch.
        trained_on: data.
        terms: licence of the weights, and terms of the data that bear on their use.
        scores: as published.
        classes: those of the file that stand for the preset's, in their order; None where they are the same.
        start: weights to train from, with parts that have learned nothing.
        publisher: the address below which they are.
    """

    places: tuple[str, ...]
    preset: str
    megabytes: int
    trained_on: str
    terms: str
    scores: str
    classes: tuple[str, ...] | None = None
    start: bool = False
    publisher: str = OPENMMLAB

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.places[0].rpartition("/")[2]

    @property
    def digest(self) -> str:
        """How the file's SHA-256 begins, in hexadecimal."""
        return self.file.rpartition("-")[2].partition(".")[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to fetch it from, at the publisher or the mirror that ``QDTRACK_WEIGHTS_URL`` names."""
        base = (os.environ.get(ADDRESS_VARIABLE) or self.publisher).rstrip("/")
        return tuple(f"{base}/{place}" for place in self.places)


def _qdtrack(folder: str, file: str) -> str:
    return f"mmtracking/mot/qdtrack/{folder}/qdtrack_faster-rcnn_{file}.pth"


MOT17_TERMS = "Apache-2.0; MOT17 is for non-commercial use (CC BY-NC-SA 3.0)"
IMAGENET_TERMS = "BSD-3-Clause (torchvision); ImageNet is for non-commercial research"
PUBLIC = {
    "qdtrack-mot17": PublicWeights(
        places=(_qdtrack("mot_dataset", "r50_fpn_4e_mot17_20220315_145635-76f295ef"),),
        preset="mot17",
        megabytes=227,
        trained_on="MOT17 (first half of each sequence), from COCO's people",
        terms=MOT17_TERMS,
        scores="second halves of MOT17: HOTA 57.1, MOTA 68.2, IDF1 68.5",
    ),
    "qdtrack-crowdhuman-mot17": PublicWeights(
        places=(_qdtrack("mot_dataset", "r50_fpn_4e_crowdhuman_mot17_20220315_163453-68899b0a"),),
        preset="mot17",
        megabytes=227,
        trained_on="CrowdHuman and MOT17 (first half of each sequence), from COCO's people",
        terms=f"{MOT17_TERMS}, CrowdHuman for non-commercial research",
        scores="second halves of MOT17: HOTA 59.1, MOTA 71.7, IDF1 71.6",
    ),
    "qdtrack-lvis": PublicWeights(
        places=tuple(
            _qdtrack(folder, "r101_fpn_24e_lvis_20220430_024513-88911daf") for folder in ("tao_dataset", "mot_dataset")
        ),
        preset="lvis",
        megabytes=314,
        trained_on="LVIS 0.5 and COCO 2017, those classes of LVIS that occur in TAO",
        terms="Apache-2.0; annotations of LVIS and COCO CC BY 4.0, their images under Flickr's terms",
        scores="detections on TAO's validation part: AP 17.2, AP50 28.6, AP75 17.7",
    ),
    "qdtrack-tao": PublicWeights(
        places=tuple(
            _qdtrack(folder, "r101_fpn_12e_tao_20220613_211934-7cbf4062") for folder in ("tao_dataset", "mot_dataset")
        ),
        preset="tao",
        megabytes=314,
        trained_on="TAO's training part, the embedding head alone, on a detector of LVIS",
        terms="Apache-2.0; TAO's videos come from seven data sets, several of them for non-commercial research",
        scores="tracks on TAO's validation part: AP(50:75) 11.0, AP50 15.8, AP75 6.1",
    ),
    "faster-rcnn-coco-person": PublicWeights(
        places=(
            "mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco-person/"
            "faster_rcnn_r50_fpn_1x_coco-person_20201216_175929-d022e227.pth",
        ),
        preset="mot17",
        megabytes=166,
        trained_on="COCO 2017, people alone",
        terms="Apache-2.0; annotations of COCO CC BY 4.0, its images under Flickr's terms",
        scores="people of COCO's validation part: box AP 55.8",
        classes=("person",),
        start=True,
    ),
    "resnet50-imagenet": PublicWeights(
        places=("models/resnet50-0676ba61.pth",),
        preset="bdd100k",
        megabytes=98,
        trained_on="ImageNet-1k; a backbone alone",
        terms=IMAGENET_TERMS,
        scores="ImageNet-1k: top-1 76.1",
        start=True,
        publisher=PYTORCH,
    ),
    "resnet101-imagenet": PublicWeights(
        places=("models/resnet101-63fe2227.pth",),
        preset="lvis",
        megabytes=171,
        trained_on="ImageNet-1k; a backbone alone",
        terms=IMAGENET_TERMS,
        scores="ImageNet-1k: top-1 77.4",
        start=True,
        publisher=PYTORCH,
    ),
}
