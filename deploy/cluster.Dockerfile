# The nodes of a Ray cluster that builds and serves clusters of leanseek; see deploy/raycluster.yaml.
#
#     docker build --file deploy/cluster.Dockerfile --tag registry.example.com/leanseek-ray:1 --build-arg TORCH_INDEX=URL .
#
# The base has Ray with its dashboard, whose agent KubeRay asks whether a node is well. Its Ray and its Python must be those
# of whoever gives commands from outside. TORCH_INDEX: see deploy/Dockerfile. s3fs is for clusters at s3://; take gcsfs or adlfs for other stores.

FROM rayproject/ray:2.60.0-py311-cpu
ARG TORCH_INDEX=
COPY --chown=ray:users . /home/ray/leanseek
RUN pip install --no-cache-dir --constraint /home/ray/leanseek/constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch \
    && pip install --no-cache-dir --constraint /home/ray/leanseek/constraints.txt \
        '/home/ray/leanseek[offline,serve,cluster]' s3fs \
    && rm -rf /home/ray/leanseek
ENV HF_HUB_OFFLINE=1 \
    OMP_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1
RUN python -c "from leanseek.encode import DEFAULT_MODEL, prepare_queries; prepare_queries(DEFAULT_MODEL)"
