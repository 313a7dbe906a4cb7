"""``mesh.usdz`` for AR Quick Look and USD tools: a stored ZIP of one USDA layer and the texture, written by us.

The USDZ specification asks for: no compression, no encryption, the data of each file at a multiple of 64 bytes, the
default layer first. USD's st has its origin at the bottom left. ARKit reads unlit metres; ``metersPerUnit`` says 1.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from meshwright.geometry.material import MATT
from meshwright.geometry.mesh import PLAIN_GREY, TexturedMesh
from meshwright.package.glb import Frame
from meshwright.package.gltf_material import material_maps
from meshwright.package.pixels import encode_image, srgb_to_linear

ALIGNMENT = 64
DOS_DATE = 0x21  # 1980-01-01, the first day that ZIP knows
TEXTURE, PATH = "texture.png", "/object/material"
PADDING_KEY = 0x1986  # the extra-field id that pixar's own writer pads with


def write_usdz(mesh: TexturedMesh, *, frame: Frame | None = None, texture_png: bytes | None = None) -> bytes:
    """The bytes of a USDZ file of a `publishable` mesh that is `baked`."""
    files = [("mesh.usda", _layer(mesh, frame or Frame()).encode())]
    if mesh.texture is not None and mesh.uv is not None:
        files.append((TEXTURE, texture_png or encode_image(mesh.texture)))
        files += [(f"{name}.png", encode_image(pixels)) for name, pixels in material_maps(mesh.material).items()]
    return _stored_zip(files)


def _layer(mesh: TexturedMesh, frame: Frame) -> str:
    textured = mesh.texture is not None and mesh.uv is not None
    return "".join(
        [
            '#usda 1.0\n(\n    defaultPrim = "object"\n    metersPerUnit = 1\n    upAxis = "Y"\n'
            f'    customLayerData = {{ string unit = "{frame.unit}" }}\n)\n\n',
            'def Xform "object" (kind = "component")\n{\n    def Mesh "mesh" (\n',
            '        prepend apiSchemas = ["MaterialBindingAPI"]\n    )\n    {\n',
            '        uniform token subdivisionScheme = "none"\n        uniform token orientation = "rightHanded"\n',
            *_geometry(mesh, textured),
            "        rel material:binding = </object/material>\n    }\n",
            _material(mesh, textured),
            "}\n",
        ]
    )


def _geometry(mesh: TexturedMesh, textured: bool) -> list[str]:
    extent = np.stack([mesh.vertices.min(0), mesh.vertices.max(0)])
    lines = [
        f"        float3[] extent = {_tuples(extent)}\n",
        f"        int[] faceVertexCounts = [{', '.join(['3'] * len(mesh.faces))}]\n",
        f"        int[] faceVertexIndices = [{', '.join(map(str, mesh.faces.ravel().tolist()))}]\n",
        f"        point3f[] points = {_tuples(mesh.vertices)}\n",
        f'        normal3f[] normals = {_tuples(mesh.normals)} (interpolation = "vertex")\n',
    ]
    if textured and mesh.uv is not None:
        flipped = np.stack([mesh.uv[:, 0], 1.0 - mesh.uv[:, 1].astype(float)], 1)
        lines.append(f'        texCoord2f[] primvars:st = {_tuples(flipped)} (interpolation = "vertex")\n')
    elif mesh.colors is not None:
        linear = srgb_to_linear(mesh.colors / 255.0)
        lines.append(f'        color3f[] primvars:displayColor = {_tuples(linear)} (interpolation = "vertex")\n')
    return lines


def _tuples(values: np.ndarray) -> str:
    row = f"({', '.join(['%.7g'] * values.shape[1])})"
    rows = ", ".join([row] * len(values)) % tuple((values + 0.0).ravel().tolist())
    return f"[{rows}]"


def _material(mesh: TexturedMesh, textured: bool) -> str:
    """A UsdPreviewSurface fed by the textures, by the vertex colours, or plain."""
    material, nodes = mesh.material or MATT, ""
    grey = srgb_to_linear(np.array(PLAIN_GREY / 255.0)) * np.array(material.base_color)
    colour = f"color3f inputs:diffuseColor = ({', '.join(f'{value:.7g}' for value in grey.tolist())})"
    gloss = [f"float inputs:metallic = {material.metallic:.7g}", f"float inputs:roughness = {material.roughness:.7g}"]
    if textured:
        colour = f"color3f inputs:diffuseColor.connect = <{PATH}/texture.outputs:rgb>"
        nodes = _reader("st", "UsdPrimvarReader_float2", "float2") + _texture("texture", "sRGB", ["float3 outputs:rgb"])
        if material.metallic_roughness is not None:
            source = f"{PATH}/metallic_roughness.outputs"
            gloss = [f"float inputs:metallic.connect = <{source}:b>", f"float inputs:roughness.connect = <{source}:g>"]
            nodes += _texture("metallic_roughness", "raw", ["float outputs:g", "float outputs:b"])
        if material.normal_texture is not None:
            gloss.append(f"normal3f inputs:normal.connect = <{PATH}/normal.outputs:rgb>")
            signed = ["float4 inputs:scale = (2, 2, 2, 1)", "float4 inputs:bias = (-1, -1, -1, 0)"]
            nodes += _texture("normal", "raw", [*signed, "float3 outputs:rgb"])
    elif mesh.colors is not None:
        colour = f"color3f inputs:diffuseColor.connect = <{PATH}/displayColor.outputs:result>"
        nodes = _reader("displayColor", "UsdPrimvarReader_float3", "float3")
    return (
        '    def Material "material"\n    {\n'
        f"        token outputs:surface.connect = <{PATH}/surface.outputs:surface>\n"
        '        def Shader "surface"\n        {\n            uniform token info:id = "UsdPreviewSurface"\n'
        f"{_indented([colour, *gloss, 'token outputs:surface'])}        }}\n{nodes}    }}\n"
    )


def _texture(name: str, space: str, ends: list[str]) -> str:
    """A texture node of the file ``NAME.png``; ``space`` is "sRGB" or "raw", ``ends`` are the lines that differ."""
    head = f'        def Shader "{name}"\n        {{\n            uniform token info:id = "UsdUVTexture"\n'
    lines = [f"asset inputs:file = @{name}.png@", f"float2 inputs:st.connect = <{PATH}/st.outputs:result>"]
    lines += [
        f'token inputs:sourceColorSpace = "{space}"',
        'token inputs:wrapS = "clamp"',
        'token inputs:wrapT = "clamp"',
    ]
    return f"{head}{_indented([*lines, *ends])}        }}\n"


def _indented(lines: list[str]) -> str:
    return "".join(f"            {line}\n" for line in lines)


def _reader(primvar: str, kind: str, value: str) -> str:
    return (
        f'        def Shader "{primvar}"\n        {{\n            uniform token info:id = "{kind}"\n'
        f'            string inputs:varname = "{primvar}"\n            {value} outputs:result\n        }}\n'
    )


def _stored_zip(files: list[tuple[str, bytes]]) -> bytes:
    """A ZIP without compression whose file data begin at multiples of 64 bytes."""
    body, directory = bytearray(), bytearray()
    for name, data in files:
        encoded, offset = name.encode(), len(body)
        # An extra field has a 4-byte head, so it can only pad by 4 bytes or more.
        padding = -(offset + 30 + len(encoded) + 4) % ALIGNMENT
        extra = struct.pack("<HH", PADDING_KEY, padding) + bytes(padding)
        common = (0, 0, 0, DOS_DATE, zlib.crc32(data), len(data), len(data), len(encoded))
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 20, *common, len(extra)) + encoded + extra + data
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, *common, 0, 0, 0, 0, 0, offset) + encoded
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory + end)
