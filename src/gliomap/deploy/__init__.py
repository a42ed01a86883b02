"""Deploy a bundle where the frames are: container images, a container on this machine, Kubernetes."""

from gliomap.deploy._cluster import ClusterRequest, ScaleOn
from gliomap.deploy._image import BASE_IMAGE, BuiltImage, ImageRequest, build_image, plan_image
from gliomap.deploy._kubernetes import render_kubernetes
from gliomap.deploy._local import LocalContainer, LocalRequest, plan_local, run_local, stop_command, stop_local
from gliomap.deploy._names import ImageName
from gliomap.deploy._tool import ContainerTool, ToolName, find_tool

__all__ = [
    "BASE_IMAGE",
    "BuiltImage",
    "ClusterRequest",
    "ContainerTool",
    "ImageName",
    "ImageRequest",
    "LocalContainer",
    "LocalRequest",
    "ScaleOn",
    "ToolName",
    "build_image",
    "find_tool",
    "plan_image",
    "plan_local",
    "render_kubernetes",
    "run_local",
    "stop_command",
    "stop_local",
]
