"""Tables as well-known data sets publish them: the real headers and marks, on tiny pictures."""

from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import read, write

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

COUNT = 6


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        write_picture(root / name)
    return root


@pytest.fixture
def own(tmp_path) -> Path:
    return tmp_path / "own"


def test_nih_chest_xrays(own):
    names = [f"{place:08}_000.png" for place in range(COUNT)]
    pictures(own / "images", *names)
    findings = ["Cardiomegaly", "No Finding", "Effusion|Infiltration", "Effusion", "Mass", "Mass"]
    rows = [
        f"{name},{finding},{place},{place // 2},058Y,M,PA,2682,2749,0.143,0.143,"
        for place, (name, finding) in enumerate(zip(names, findings, strict=True))
    ]
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    write(own, "\n".join([header, *rows]), "Data_Entry_2017.csv")
    with pytest.raises(Question, match="--negative 'No Finding'"):
        read(own)
    got = read(own, negative=("No Finding",), group_column="Patient ID")
    assert got.labels["images/00000001_000.png"] == []
    assert got.labels["images/00000002_000.png"] == ["Effusion", "Infiltration"]
    assert got.groups["images/00000003_000.png"] == "1"


def test_chexpert(own):
    names = [f"train/patient{place}/study1/view1_frontal.jpg" for place in range(COUNT)]
    pictures(own / "CheXpert-v1.0-small", *names)
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Support Devices"
    cells = [",1.0,,1.0", "1.0,,,", ",-1.0,1.0,", ",0.0,,", ",,1.0,1.0", ",,-1.0,0.0"]
    rows = [
        f"CheXpert-v1.0-small/{name},Female,68,Frontal,AP,{states}"
        for name, states in zip(names, cells, strict=True)
    ]
    write(own, "\n".join([header, *rows]), "train.csv")
    with pytest.raises(Question, match=r"--unknown -1\).*--unknown blank\)"):
        read(own)
    with pytest.raises(Question, match=r"--unknown blank\).*--absent blank"):
        read(own, unknown=("-1",))
    with pytest.raises(Question, match="--negative 'No Finding'"):
        read(own, unknown=("-1",), absent=("blank",))

    absent = read(own, unknown=("-1",), absent=("blank",), negative=("No Finding",))
    first, healthy, unsure, *_, last = absent.labels
    assert absent.labels[first] == ["Cardiomegaly", "Support Devices"]
    assert absent.labels[healthy] == []
    assert absent.unknown[unsure] == ["Cardiomegaly"]
    assert absent.unknown[last] == ["Edema"]

    # What is not mentioned is unknown, but not where nothing was found.
    unknown = read(own, unknown=("-1", "blank"), negative=("No Finding",))
    assert unknown.unknown[first] == ["Edema"]
    assert unknown.unknown[healthy] == []


def test_odir(own):
    sides = ("left", "right")
    names = [f"{place}_{side}.jpg" for place in range(3) for side in sides]
    pictures(own / "images", *names)
    header = (
        "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,"
        "Right-Diagnostic Keywords,N,D,G,C,A,H,M,O"
    )
    rows = [
        f"{place},69,Female,{place}_left.jpg,{place}_right.jpg,cataract,normal fundus,"
        f"{int(place == 0)},{int(place > 0)},0,{place % 2},0,0,0,{int(place == 0)}"
        for place in range(3)
    ]
    write(own, "\n".join([header, *rows]), "full_df.csv")
    with pytest.raises(Question, match="--image-column 'Left-Fundus'"):
        read(own)
    both = {"image_columns": ("Left-Fundus", "Right-Fundus"), "group_column": "ID"}
    with pytest.raises(Question, match="--mark-column"):
        read(own, **both)
    got = read(own, mark_columns=("?",), **both)
    assert got.labels["images/1_left.jpg"] == got.labels["images/1_right.jpg"] == ["C", "D"]
    assert got.groups["images/2_left.jpg"] == "2"


def test_celeba(own, capsys):
    names = [f"{place:06}.jpg" for place in range(1, COUNT + 1)]
    pictures(own / "img_align_celeba", *names)
    rows = [f"{name} {1 if place % 2 else -1:2d} {-1:2d}  1 " for place, name in enumerate(names)]
    text = "\n".join([str(COUNT), "5_o_Clock_Shadow Bald Young ", *rows])
    write(own, text + "\n", "list_attr_celeba.txt")
    parts = [f"{name} {place // 2}" for place, name in enumerate(names)]
    write(own, "\n".join(parts), "list_eval_partition.txt")
    write(own, "image_id,partition\n" + "\n".join(parts).replace(" ", ","), "partition.csv")

    got = read(own)
    assert got.labels["img_align_celeba/000002.jpg"] == ["5_o_Clock_Shadow", "Young"]
    assert got.labels["img_align_celeba/000001.jpg"] == ["Young"]
    assert list(got.splits.values()) == ["train", "train", "val", "val", "test", "test"]
    assert "-1 is absent (9), 1 is present (9)" in capsys.readouterr().out


def test_open_images(own):
    names = [f"{place:016x}" for place in range(COUNT)]
    pictures(own / "validation", *[f"{name}.jpg" for name in names])
    rows = []
    for place, name in enumerate(names):
        rows.append(f"{name},verification,/m/01g317,{place % 2}")
        if place < 4:
            rows.append(f"{name},crowdsource-verification,/m/0bt9lr,1")
    header = "ImageID,Source,LabelName,Confidence"
    write(own, "\n".join([header, *rows]), "validation-annotations-human-imagelabels.csv")
    names_of_classes = "/m/01g317,Person\n/m/0bt9lr,Dog\n/m/0xyz,Owl\n"
    write(own, names_of_classes, "class-descriptions.csv")
    got = read(own)
    assert got.labels[f"validation/{names[1]}.jpg"] == ["Dog", "Person"]
    assert got.labels[f"validation/{names[0]}.jpg"] == ["Dog"]
    assert got.unknown[f"validation/{names[4]}.jpg"] == ["Dog"]


def test_isic_and_plant_pathology(own):
    names = [f"ISIC_{place:07}" for place in range(COUNT)]
    pictures(own / "train", *[f"{name}.jpg" for name in names])
    rows = [f"{name},{place % 2}.0,{1 - place % 2}.0,0.0" for place, name in enumerate(names)]
    write(own, "\n".join(["image,MEL,NV,BCC", *rows]), "ISIC_GroundTruth.csv")
    assert read(own).labels["train/ISIC_0000001.jpg"] == ["MEL"]


def test_planet(own):
    names = [f"train_{place}" for place in range(COUNT)]
    pictures(own / "train-jpg", *[f"{name}.jpg" for name in names])
    tags = ["haze primary", "agriculture clear primary water", "clear primary"] * 2
    rows = [f"{name},{tag}" for name, tag in zip(names, tags, strict=True)]
    write(own, "\n".join(["image_name,tags", *rows]), "train_v2.csv")
    with pytest.raises(Question, match="--separator ' '"):
        read(own)
    labels = read(own, separator=" ").labels
    assert labels["train-jpg/train_1.jpg"] == ["agriculture", "clear", "primary", "water"]


def test_movie_posters(own):
    names = [f"tt{place}" for place in range(COUNT)]
    pictures(own / "Images", *[f"{name}.jpg" for name in names])
    rows = [
        f"{name},\"['Action', '{'Drama' if place % 2 else 'Comedy'}']\",1,{place % 2}"
        for place, name in enumerate(names)
    ]
    write(own, "\n".join(["Id,Genre,Action,Drama", *rows]), "train.csv")
    with pytest.raises(Question, match=r"--labels-column 'Genre' or --mark-column '\*'"):
        read(own)
    got = read(own, label_columns=("Genre",))
    assert got.labels["Images/tt1.jpg"] == ["Action", "Drama"]


def test_vinbigdata(own):
    names = [f"{place:032x}" for place in range(COUNT)]
    pictures(own / "train", *[f"{name}.png" for name in names])
    rows = []
    for place, name in enumerate(names):
        for reader in ("R8", "R9"):
            finding = ("No finding,14", "Aortic enlargement,0")[place % 2]
            rows.append(f"{name},{finding},{reader},,,,")
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    write(own, "\n".join([header, *rows]), "train.csv")
    with pytest.raises(Question, match="--negative 'No finding'"):
        read(own)
    got = read(own, negative=("No finding",))
    assert got.labels[f"train/{names[0]}.png"] == []
    assert got.labels[f"train/{names[1]}.png"] == ["Aortic enlargement"]


def test_melanoma(own):
    names = [f"ISIC_{place}" for place in range(COUNT)]
    pictures(own / "jpeg", *[f"{name}.jpg" for name in names])
    rows = [
        f"{name},IP_1,male,45.0,torso,{('nevus', 'melanoma')[place % 2]},benign,{place % 2}"
        for place, name in enumerate(names)
    ]
    header = (
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,"
        "benign_malignant,target"
    )
    write(own, "\n".join([header, *rows]), "train.csv")
    with pytest.raises(Question, match="--labels-column 'diagnosis'"):
        read(own)


def test_lists_of_cub_leave_the_folders_alone(own):
    names = [f"images/00{1 + place % 2}.bird{place % 2}/{place}.jpg" for place in range(COUNT)]
    pictures(own, *names)
    rows = [f"{place + 1} {name.removeprefix('images/')}" for place, name in enumerate(names)]
    write(own, "\n".join(rows), "images.txt")
    flags = [f"{place + 1} {place % 2}" for place in range(COUNT)]
    write(own, "\n".join(flags), "train_test_split.txt")
    assert read(own / "images").labels["001.bird0/0.jpg"] == ["001.bird0"]


# RSNA's intracranial hemorrhages: a row for each picture and label, whose names are joined.
BLEEDINGS = {"ID_0a1b": ["any", "epidural"], "ID_0a1c": [], "ID_0a1d": ["any", "sub_dural"]}


def joined_rows() -> list[str]:
    return [
        f"{name}_{label},{int(label in labels)}"
        for name, labels in BLEEDINGS.items()
        for label in ("any", "epidural", "sub_dural")
    ]


def test_rsna_intracranial_hemorrhages(own, capsys):
    pictures(own / "stage_2_train", *(f"{name}.png" for name in BLEEDINGS))
    # Some rows stand there twice, and of some the picture was not fetched.
    rows = [*joined_rows(), joined_rows()[0], "ID_ffff_any,1", "ID_ffff_epidural,0"]
    write(own, "\n".join(["ID,Label", *rows, "ID_ffff_sub_dural,0"]), "stage_2_train.csv")
    got = read(own)
    assert got.labels == {f"stage_2_train/{name}.png": of for name, of in BLEEDINGS.items()}
    assert not any(got.unknown.values())
    told = capsys.readouterr().out
    assert "column 'ID' joins pictures and labels: 'ID_0a1b_any' is 'ID_0a1b' and 'any'" in told
    assert "Names without a picture, left out: 1, such as 'ID_ffff'" in told


def test_joined_names_that_do_not_say_what_is_there(own):
    pictures(own, *(f"{name}.png" for name in BLEEDINGS))
    message = r"labels.csv: column 'ID' seems to join pictures and labels .*two columns"
    # A label that some pictures have no row of, and no column of yes and no.
    for rows in (joined_rows()[1:], [row.partition(",")[0] + ",0.5" for row in joined_rows()]):
        write(own, "\n".join(["ID,Label", *rows]))
        with pytest.raises(Question, match=message):
            read(own)


def test_understanding_clouds(own):
    truth = {"0a.jpg": ["Fish"], "0b.jpg": [], "0c.jpg": ["Fish", "Flower"]}
    pictures(own / "train_images", *truth)
    rows = [
        f"{name}_{label},{'264918 937 266318 937' if label in labels else ''}"
        for name, labels in truth.items()
        for label in ("Fish", "Flower")
    ]
    write(own, "\n".join(["Image_Label,EncodedPixels", *rows]), "train.csv")
    assert read(own).labels == {f"train_images/{name}": of for name, of in truth.items()}


def test_human_protein_atlas(own):
    names = [f"{place}a-bb" for place in range(COUNT)]
    pictures(
        own / "train", *(f"{name}_{colour}.png" for name in names for colour in ("red", "green"))
    )
    write(own, "Id,Target\n" + "".join(f"{name},16 0\n" for name in names), "train.csv")
    message = "'Id' holds '0a-bb', and pictures are called 0a-bb_green, 0a-bb_red: write a row a"
    with pytest.raises(InputError, match=message):
        read(own)


def test_planet_s_table_of_old_and_new_names(own):
    names = [f"train_{place}.jpg" for place in range(COUNT)]
    pictures(own, *names, "file_0.jpg")
    rows = [
        f"{name[:-4]},{('haze primary', 'clear', 'haze')[at % 3]}" for at, name in enumerate(names)
    ]
    write(own, "\n".join(["image_name,tags", *rows, "x,primary"]), "train_v2.csv")
    write(own, "old,new\nfile_0.jpg,test_0.jpg\n", "test_v2_file_mapping.csv")
    assert read(own).labels["train_0.jpg"] == ["haze", "primary"]


def test_hotel_id_s_folders_are_chains(own):
    """Folders of numbers are rather there for order, beside a table with another number."""
    pictures(own / "train_images", *(f"{4 + place % 2}/{place}a.jpg" for place in range(COUNT)))
    rows = [f"{place}a.jpg,{4 + place % 2},{20 + place % 3},2018-01-14" for place in range(COUNT)]
    write(own, "\n".join(["image,chain,hotel_id,timestamp", *rows]), "train.csv")
    with pytest.raises(Question, match="--labels-column.*hotel_id.*--layout folders"):
        read(own)
    chosen = read(own, label_columns=("hotel_id",)).labels
    assert chosen["train_images/5/1a.jpg"] == ["21"]
    assert read(own, layout="folders").labels["train_images/5/1a.jpg"] == ["5"]


def test_parts_of_facial_expressions(own):
    """As FER2013 calls them."""
    names = [f"{place}.png" for place in range(COUNT)]
    pictures(own, *names)
    parts = ["Training", "Training", "Training", "Training", "PublicTest", "PrivateTest"]
    rows = [f"{name},{part},happy" for name, part in zip(names, parts, strict=True)]
    write(own, "\n".join(["image,Usage,emotion_label", *rows]))
    assert list(read(own).splits.values()) == ["train"] * 4 + ["test"] * 2


def test_lists_of_aircraft(own):
    """Numbers of pictures, and labels of several words."""
    names = [f"{1025794 + 31 * place}" for place in range(COUNT)]
    pictures(own / "images", *(f"{name}.jpg" for name in names))
    families = ["Boeing 707", "A300", "Cessna 172"]
    for part, first in (("train", 0), ("test", 4)):
        rows = [f"{names[at]} {families[at % 3]}" for at in range(first, min(first + 4, COUNT))]
        write(own, "\n".join(rows), f"images_family_{part}.txt")
    with pytest.raises(Question, match="--header image,labels, or image,label where"):
        read(own)
    got = read(own, header=("image", "label"), separator="")
    assert got.labels["images/1025794.jpg"] == ["Boeing 707"]
    assert got.splits[f"images/{names[5]}.jpg"] == "test"


def test_joint_annotations_of_textures(own):
    names = [f"{label}/{label}_{place}.jpg" for place, label in enumerate(["banded", "dotted"] * 3)]
    pictures(own / "images", *names)
    rows = [f"{name} {name.partition('/')[0]} striped " for name in names[:3]]
    rows += [f"{name} {name.partition('/')[0]} " for name in names[3:]]
    write(own, "\n".join(rows), "labels/labels_joint_anno.txt")
    got = read(own, header=("image", "labels"))
    assert got.labels["images/banded/banded_0.jpg"] == ["banded", "striped"]
    assert got.labels["images/dotted/dotted_3.jpg"] == ["dotted"]


def test_clinical_columns_beside_a_diagnosis(own):
    """As of PAD-UFES-20: what is known of the patient is marked as labels would be."""
    names = [f"PAT_{place}.png" for place in range(COUNT)]
    pictures(own, *names)
    rows = [
        f"{place},{place % 2 == 0},{place % 3 == 0},{place < 3},{('BCC', 'NEV')[place % 2]},{name}"
        for place, name in enumerate(names)
    ]
    write(own, "\n".join(["patient_id,smoke,itch,grew,diagnostic,img_id", *rows]))
    with pytest.raises(Question, match="--labels-column 'diagnostic'"):
        read(own)
    assert read(own, label_columns=("diagnostic",)).labels["PAT_1.png"] == ["NEV"]


def test_ham10000(own, capsys):
    names = [f"ISIC_{place:07}" for place in range(COUNT)]
    pictures(own, *(f"part_{1 + at % 2}/{name}.jpg" for at, name in enumerate(names)))
    rows = [
        f"HAM_{place // 2},{name},{('nv', 'mel')[place % 2]},histo,80.0,male,scalp"
        for place, name in enumerate(names)
    ]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    write(own, "\n".join([header, *rows]), "HAM10000_metadata.csv")
    assert read(own).labels["part_2/ISIC_0000001.jpg"] == ["mel"]
    assert "to keep them together, say --group-column 'lesion_id'" in capsys.readouterr().out


def test_mechanical_turk_s_approvals_are_no_label(own):
    names = [f"{place}.jpg" for place in range(COUNT)]
    pictures(own, *names)
    rows = [
        f"{place},{worker},https://s3/{name},{str(place % 2 == 0).lower()},true,x"
        for place, name in enumerate(names)
        for worker in "AB"
    ]
    header = "HITId,WorkerId,Input.image_url,Answer.cat.on,Answer.dog.on,Approve"
    write(own, "\n".join([header, *rows]))
    with pytest.raises(Question, match="--ignore-column 'Approve'"):
        read(own)
    got = read(own, ignore_columns=("Approve",))
    assert got.labels["0.jpg"] == ["Answer.cat.on", "Answer.dog.on"]
