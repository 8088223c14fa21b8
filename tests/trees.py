"""Cohorts under the file names of their publishers, with small phantoms in place of the scans."""
import json

import nibabel as nib
import numpy as np

SHAPE = (26, 30, 24)
AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])
MASK_NAMES = ("mask", "consensus", "lesions", "labels", "manualsegmentation")

# Of each layout: its files, the cases (patient, session, whether there is a mask), and the channels of the first.
TREES = {
    "isbi2015": (
        [f"{part}/{name}/preprocessed/{name}_{session}_{scan}_pp.nii{gz}"
         for part, name, session, gz in (("training", "training01", "01", ""), ("training", "training01", "02", ".gz"),
                                         ("test", "test03", "01", ""))
         for scan in ("flair", "t2", "pd", "mprage")]
        + [f"training/training01/masks/training01_{session}_mask{rater}.nii" for session in ("01", "02") for rater in (1, 2)],
        [("test03", "01", False), ("training01", "01", True), ("training01", "02", True)], {"flair", "t2", "pd", "t1"}),
    "msseg2016": (
        [f"{patient}/Preprocessed_Data/{scan}_preprocessed.nii.gz" for scan in ("FLAIR", "T2", "T1", "DP", "GADO")
         for patient in ("Training/Center_01/Patient_01", "Training/Center_07/Patient_01", "Testing/Center_01/Patient_01")]
        + [f"Training/Center_01/Patient_01/{name}.nii.gz" for name in ("Raw_Data/FLAIR", "Masks/ManualSegmentation_1")]
        + [f"{patient}/Masks/Consensus.nii.gz" for patient in ("Training/Center_01/Patient_01", "Training/Center_07/Patient_01")],
        [("Testing_Center_01_Patient_01", "", False), ("Training_Center_01_Patient_01", "", True),
         ("Training_Center_07_Patient_01", "", True)], {"flair", "t2", "t1", "pd", "t1gd"}),
    "mslesseg": (
        [f"train/P1/T{session}/P1_T{session}_{scan}.nii.gz" for session in (1, 2) for scan in ("FLAIR", "T1", "T2", "MASK")]
        + [f"test/P54/P54_{scan}.nii.gz" for scan in ("FLAIR", "T1", "T2", "MASK")],
        [("P1", "T1", True), ("P1", "T2", True), ("P54", "", True)], {"flair", "t1", "t2"}),
    "open_ms": (
        ["patient01/FLAIR.nii.gz", "patient01/T1W.nii.gz", "patient01/T1WKS.nii.gz", "patient01/T2W.nii.gz",
         "patient01/consensus_gt.nii.gz", "patient02/patient02_FLAIR.nii.gz", "patient02/patient02_T2W.nii.gz",
         "patient02/patient02_consensus_gt.nii.gz", "patient02/patient02_brainmask.nii.gz"],
        [("patient01", "", True), ("patient02", "", True)], {"flair", "t1", "t1gd", "t2"}),
    "nnunet": (
        [f"imagesTr/{name}_{channel}.nii.gz" for name in ("MS_001", "P7_T1", "P7_T2") for channel in ("0000", "0001")]
        + [f"labelsTr/{name}.nii.gz" for name in ("MS_001", "P7_T1", "P7_T2")] + ["imagesTs/MS_009_0000.nii.gz"],
        [("MS_001", "", True), ("P7", "T1", True), ("P7", "T2", True)], {"flair", "t2"}),
    "bids": (
        [f"sub-01/ses-{session}/anat/sub-01_ses-{session}_{scan}.nii.gz" for session in ("a", "b") for scan in ("FLAIR", "T2w")]
        + ["sub-02/anat/sub-02_FLAIR.nii.gz", "sub-02/anat/sub-02_T2w.nii.gz",
           "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_space-orig_label-lesion_mask.nii.gz",
           "derivatives/bet/sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz",
           "derivatives/manual/sub-02/anat/sub-02_mask.nii.gz"],
        [("sub-01", "ses-a", True), ("sub-01", "ses-b", False), ("sub-02", "", True)], {"flair", "t2"}),
}


def write(path, seed=0):
    """A phantom: an ellipsoid brain, noise, four bright cubes; or, where the name is a mask's, the cubes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = np.linalg.norm((np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2) / (12, 14, 11), axis=-1).T <= 1
    lesions = np.zeros(SHAPE, np.uint8)
    for x, y, z in ((7, 10, 8), (15, 9, 12), (8, 18, 14), (14, 18, 8)):
        lesions[x:x + 3, y:y + 4, z:z + 3] = 1
    if any(word in path.as_posix().split("cohort/")[-1].lower() for word in MASK_NAMES):
        array = lesions
    else:
        array = np.where(inside, np.random.default_rng(seed).normal(100, 9, SHAPE) + 60 * lesions, 0).astype(np.float32)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def plant(folder, layout):
    """The tree of a layout."""
    for seed, name in enumerate(TREES[layout][0]):
        write(folder / name, seed)
    if layout == "nnunet":
        (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "FLAIR", "1": "T2"}, "file_ending": ".nii.gz"}))
    return folder
