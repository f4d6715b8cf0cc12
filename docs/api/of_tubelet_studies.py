"""Every name of `tubelet.studies` in use."""

from tubelet import studies
from tubelet.training import SilentReporter

for name, one in studies.STUDIES.items():
    print(name, one.question)

study = studies.find_study("tokens")
print(study.title, study.paper)

base = studies.generated_config(study)
print(base.model, base.optimisation.epochs)

answered: studies.StudyResult = studies.run_study(
    "tokens",
    "studied",
    seeds=(0,),
    options=studies.StudyOptions(tubelet_lengths=(4,), image_sizes=(32,)),
    clips=studies.GeneratedClips(train_clips=2, test_clips=1),
    reporter=SilentReporter(),
    epochs=1,
)
print(answered.page, answered.num_failures, *answered.verdict)
