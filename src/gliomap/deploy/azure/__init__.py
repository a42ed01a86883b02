"""Azure Machine Learning: data, trainings, endpoints. Needs the extra `azure`; the rest of GlioMap does not load it.

Each module is loaded on first use: a dry run needs no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliomap._lazy import lazy

if TYPE_CHECKING:
    from gliomap.deploy.azure._assets import (
        DEFAULT_DATASTORE,
        Asset,
        asset_document,
        check_name,
        create_assets,
        download_asset,
        find_asset,
        list_assets,
        upload_document,
    )
    from gliomap.deploy.azure._check import Checked, check_workspace, workspace_document
    from gliomap.deploy.azure._client import Connection, connect
    from gliomap.deploy.azure._computes import cluster_document
    from gliomap.deploy.azure._deploy import Deployed, deploy_bundle, deployment_log, planned_documents, undeploy
    from gliomap.deploy.azure._documents import Document, as_yaml
    from gliomap.deploy.azure._endpoints import EndpointPlan, deployment_document, endpoint_document
    from gliomap.deploy.azure._faults import azure_faults
    from gliomap.deploy.azure._follow import follow_job, job_logs
    from gliomap.deploy.azure._jobs import TrainJob, check_training, fold_names, job_name, training_documents
    from gliomap.deploy.azure._metrics import fetch_runs
    from gliomap.deploy.azure._models import as_reference, find_model, local_model, model_document, register_bundle
    from gliomap.deploy.azure._score import Scored, score_in_azure
    from gliomap.deploy.azure._settings import CLOUDS, AzureSettings, find_settings
    from gliomap.deploy.azure._storage import Transfer, download_files, upload_files
    from gliomap.deploy.azure._study import PARTS, study_files, upload_study
    from gliomap.deploy.azure._train import Trained, train_in_azure

__all__ = [
    "CLOUDS",
    "DEFAULT_DATASTORE",
    "PARTS",
    "Asset",
    "AzureSettings",
    "Checked",
    "Connection",
    "Deployed",
    "Document",
    "EndpointPlan",
    "Scored",
    "TrainJob",
    "Trained",
    "Transfer",
    "as_reference",
    "as_yaml",
    "asset_document",
    "azure_faults",
    "check_name",
    "check_training",
    "check_workspace",
    "cluster_document",
    "connect",
    "create_assets",
    "deploy_bundle",
    "deployment_document",
    "deployment_log",
    "download_asset",
    "download_files",
    "endpoint_document",
    "fetch_runs",
    "find_asset",
    "find_model",
    "find_settings",
    "fold_names",
    "follow_job",
    "job_logs",
    "job_name",
    "list_assets",
    "local_model",
    "model_document",
    "planned_documents",
    "register_bundle",
    "score_in_azure",
    "study_files",
    "train_in_azure",
    "training_documents",
    "undeploy",
    "upload_document",
    "upload_files",
    "upload_study",
    "workspace_document",
]

if not TYPE_CHECKING:
    __getattr__ = lazy(
        __name__,
        {
            "._assets": (
                "DEFAULT_DATASTORE",
                "Asset",
                "asset_document",
                "check_name",
                "create_assets",
                "download_asset",
                "find_asset",
                "list_assets",
                "upload_document",
            ),
            "._check": ("Checked", "check_workspace", "workspace_document"),
            "._client": ("Connection", "connect"),
            "._computes": ("cluster_document",),
            "._deploy": ("Deployed", "deploy_bundle", "deployment_log", "planned_documents", "undeploy"),
            "._documents": ("Document", "as_yaml"),
            "._endpoints": ("EndpointPlan", "deployment_document", "endpoint_document"),
            "._faults": ("azure_faults",),
            "._follow": ("follow_job", "job_logs"),
            "._jobs": ("TrainJob", "check_training", "fold_names", "job_name", "training_documents"),
            "._metrics": ("fetch_runs",),
            "._models": ("as_reference", "find_model", "local_model", "model_document", "register_bundle"),
            "._score": ("Scored", "score_in_azure"),
            "._settings": ("CLOUDS", "AzureSettings", "find_settings"),
            "._storage": ("Transfer", "download_files", "upload_files"),
            "._study": ("PARTS", "study_files", "upload_study"),
            "._train": ("Trained", "train_in_azure"),
        },
    )
