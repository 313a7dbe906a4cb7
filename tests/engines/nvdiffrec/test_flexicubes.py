"""Laws of the differentiable isosurface: topology from signs alone, geometry from weights, gradients from both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from meshwright.engines.nvdiffrec.flexicubes import (
    Isosurface,
    Resolution,
    developability_loss,
    extract,
    grid_positions,
    sign_change_loss,
    unit_weights,
)
from meshwright.engines.nvdiffrec.flexicubes_cases import NO_FACE, case_tables
from meshwright.errors import InputError

Field = Callable[[Tensor], Tensor]
NAMES = ["sdf", "positions", "alpha", "beta", "gamma"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors here are small, and threads of parallel test runs only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sphere(radius: float = 0.35, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Field:
    return lambda p: (p - p.new_tensor(centre)).norm(dim=-1) - radius


def torus(p: Tensor) -> Tensor:
    return torch.hypot(p[..., :2].norm(dim=-1) - 0.3, p[..., 2]) - 0.12


def box(p: Tensor) -> Tensor:
    """A cube of edge 0.6, turned so that no face lies along the grid."""
    q = (p @ turn().to(p)).abs() - 0.3
    return q.clamp(min=0).norm(dim=-1) + q.amax(-1).clamp(max=0)


def turn() -> Tensor:
    angles = torch.tensor([[0.0, -0.3, 0.5], [0.3, 0.0, -0.2], [-0.5, 0.2, 0.0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(angles)


def touching(p: Tensor) -> Tensor:
    return torch.minimum(sphere(0.2, (-0.2, 0.0, 0.0))(p), sphere(0.2, (0.2, 0.0, 0.0))(p))


def grid(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A unit cube of n^3 cubes around the origin."""
    return grid_positions((n, n, n), dtype) / n


def mesh_of(field: Field, n: int, dtype: torch.dtype = torch.float32, centred: bool = True) -> Isosurface:
    positions, size = grid(n, dtype), (n, n, n)
    return extract(field(positions), positions, size, *unit_weights(size, dtype), centred=centred)


def mesh_of_grid(sdf: Tensor, centred: bool = True) -> Isosurface:
    size: Resolution = tuple(n - 1 for n in sdf.shape)  # type: ignore[assignment]
    return extract(sdf.reshape(-1), grid_positions(size), size, *unit_weights(size), centred=centred)


def volume(mesh: Isosurface) -> Tensor:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def euler(mesh: Isosurface) -> int:
    return len(mesh.vertices) - len(mesh.faces) * 3 // 2 + len(mesh.faces)


def assert_closed_manifold(mesh: Isosurface) -> None:
    """Each directed edge once and its reverse once; the faces at each vertex one fan; no vertex unused."""
    faces, count = mesh.faces.numpy(), len(mesh.vertices)
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
    forward, backward = start * count + end, end * count + start
    assert len(np.unique(forward)) == len(forward)
    assert np.array_equal(np.sort(forward), np.sort(backward))
    # around vertex a, face (a, b, c) links neighbour b to neighbour c
    links = np.stack([faces, np.roll(faces, -1, 1), np.roll(faces, -2, 1)], -1).reshape(-1, 3)
    spokes, index = np.unique(links[:, :1] * count + links[:, 1:], return_inverse=True)
    index = index.reshape(-1, 2)
    graph = coo_array((np.ones(len(index)), (index[:, 0], index[:, 1])), shape=(len(spokes), len(spokes)))
    assert connected_components(graph, directed=False)[0] == count
    assert len(np.unique(faces)) == count


def random_field(seed: int, smooth: float, n: int = 14) -> Tensor:
    noise = np.random.default_rng(seed).normal(size=(n, n - 2, n + 1))
    field = gaussian_filter(noise, smooth) if smooth else noise
    return torch.nn.functional.pad(torch.tensor(field / field.std()).float(), (1,) * 6, value=1.0)


# Topology.


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("field", [sphere(), torus, box, touching], ids=["sphere", "torus", "box", "touching"])
def test_a_solid_has_a_closed_manifold_surface(field: Field, centred: bool) -> None:
    mesh = mesh_of(field, 20, centred=centred)
    assert len(mesh.faces) > 1000
    assert_closed_manifold(mesh)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("smooth", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_any_field_with_a_positive_border_has_a_closed_manifold_surface(
    seed: int, smooth: float, centred: bool
) -> None:
    mesh = mesh_of_grid(random_field(seed, smooth), centred)
    assert_closed_manifold(mesh)
    assert volume(mesh) > 0


def test_two_pinched_cubes_at_one_face_are_parted() -> None:
    """Two outside corners lying diagonally on the face between two cubes: one tunnel, not two sheets in one edge."""
    sdf = torch.nn.functional.pad(-torch.ones(4, 4, 5), (1,) * 6, value=1.0)
    sdf[2, 2, 3] = sdf[3, 3, 3] = 1.0
    for centred in (True, False):
        assert_closed_manifold(mesh_of_grid(sdf, centred))


def test_a_sign_pattern_is_pinched_at_one_face_at_most_and_laying_it_the_other_way_parts_it() -> None:
    """36 patterns, those called C16 and C19 in the paper: they have two loops instead of one."""
    tables = case_tables(torch.device("cpu"))
    pinched = tables.pinched != NO_FACE
    assert int(pinched.sum()) == 36
    assert tables.counts[0, pinched].tolist() == [1] * 36
    assert tables.counts[1, pinched].tolist() == [2] * 36
    assert torch.equal(tables.loops[0, ~pinched], tables.loops[1, ~pinched])


def test_every_loop_crosses_at_least_three_edges() -> None:
    loops = case_tables(torch.device("cpu")).loops
    for loop in range(4):
        length = (loops == loop).sum(-1)
        assert bool(((length == 0) | (length >= 3)).all())


@pytest.mark.parametrize(("field", "number"), [(sphere(), 2), (torus, 0), (box, 2)], ids=["sphere", "torus", "box"])
def test_euler_number(field: Field, number: int) -> None:
    assert euler(mesh_of(field, 16)) == euler(mesh_of(field, 16, centred=False)) == number


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["empty", "full"])
@pytest.mark.parametrize("centred", [True, False])
def test_without_a_change_of_sign_there_is_no_mesh(sign: float, centred: bool) -> None:
    sdf = torch.full((5, 4, 6), sign, requires_grad=True)
    mesh = mesh_of_grid(sdf, centred)
    assert (mesh.vertices.shape, mesh.faces.shape, mesh.crossings.shape) == ((0, 3), (0, 3), (0, 3))
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (torch.float32, torch.int64)
    loss = mesh.vertices.sum() + developability_loss(mesh) + sign_change_loss(sdf.reshape(-1), (4, 3, 5))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert sdf.grad is None or not sdf.grad.any()


def test_zero_counts_as_outside_and_puts_the_crossing_on_the_grid() -> None:
    sdf = torch.zeros(5, 5, 5)
    sdf[2, 2, 2] = -1.0
    mesh = mesh_of_grid(sdf)
    assert_closed_manifold(mesh)
    assert torch.allclose(mesh.crossings.norm(dim=1), torch.ones(len(mesh.crossings)))


# Geometry.


def test_the_distance_to_a_sphere_falls_with_the_square_of_the_resolution() -> None:
    def errors(n: int) -> Tensor:
        mesh = mesh_of(sphere(), n, torch.float64)
        points = torch.cat([mesh.vertices, mesh.vertices[mesh.faces].mean(1)])
        apart = sphere()(points).abs()
        return torch.stack([apart.max(), apart.mean()])

    coarse, middle, fine = errors(10), errors(20), errors(40)
    assert bool((coarse / middle > 3.2).all())
    assert bool((middle / fine > 3.2).all())
    assert float(fine[0]) < 2 * (1 / 40) ** 2


@pytest.mark.parametrize("centred", [True, False])
def test_volumes_are_positive_and_near_the_analytic_ones(centred: bool) -> None:
    solids = [(sphere(), 4 / 3 * np.pi * 0.35**3), (torus, 2 * np.pi**2 * 0.3 * 0.12**2), (box, 0.6**3)]
    for field, true in solids:
        assert float(volume(mesh_of(field, 32, centred=centred))) == pytest.approx(true, rel=0.04)


def random_inputs(n: int = 6, seed: int = 0) -> dict[str, Tensor]:
    """A sphere with random weights on a random deformation of the grid, float64."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    positions = grid(n, torch.float64)
    sdf = sphere()(positions) + 0.02 * noise(len(positions))
    weights = {"alpha": 0.5 + noise(n**3, 8), "beta": 0.5 + noise(n**3, 12), "gamma": 0.5 + noise(n**3)}
    return {"sdf": sdf, "positions": positions + 0.3 / n * (noise(len(positions), 3) - 0.5), **weights}


def extract_inputs(inputs: dict[str, Tensor], n: int = 6) -> Isosurface:
    return extract(inputs["sdf"], inputs["positions"], (n, n, n), *(inputs[name] for name in NAMES[2:]))


def slow_twin(inputs: dict[str, Tensor], n: int = 6) -> tuple[list[Tensor], list[Tensor]]:
    """The vertex of each loop and its gamma, by the formulas of the paper, cube for cube."""
    tables = case_tables(torch.device("cpu"))
    vertices: list[Tensor] = []
    gammas: list[Tensor] = []
    sdf, positions, alpha, beta, gamma = (inputs[name] for name in NAMES)
    for cube, (i, j, k) in enumerate(np.ndindex(n, n, n)):
        corners = [(i + (c & 1), j + (c >> 1 & 1), k + (c >> 2)) for c in range(8)]
        at = [(x * (n + 1) + y) * (n + 1) + z for x, y, z in corners]
        s, x = sdf[at], positions[at]
        loops = tables.loops[0, int(((s < 0) * 2 ** torch.arange(8)).sum())]
        for loop in range(int(loops.max()) + 1):
            crossings: list[Tensor] = []
            for edge in (loops == loop).nonzero()[:, 0].tolist():
                a, b = tables.ends[edge].tolist()
                wa, wb = s[a] * alpha[cube, a], s[b] * alpha[cube, b]
                crossings.append((wa * x[b] - wb * x[a]) / (wa - wb))
            weight = beta[cube, loops == loop]
            vertices.append((weight[:, None] * torch.stack(crossings)).sum(0) / weight.sum())
            gammas.append(gamma[cube])
    return vertices, gammas


def test_vertices_and_centres_are_those_of_the_slow_twin() -> None:
    inputs = random_inputs()
    mesh = extract_inputs(inputs)
    vertices, gammas = slow_twin(inputs)
    v, g = torch.stack(vertices), torch.stack(gammas)
    assert torch.allclose(mesh.vertices[: len(v)], v, atol=1e-12)
    for quad, centre in zip(mesh.faces[:, 0].reshape(-1, 4), mesh.vertices[len(v) :], strict=True):
        one, other = g[quad[0]] * g[quad[2]], g[quad[1]] * g[quad[3]]
        ends = one * v[quad[[0, 2]]].mean(0) + other * v[quad[[1, 3]]].mean(0)
        assert torch.allclose(centre, ends / (one + other), atol=1e-12)


def test_weights_move_vertices_and_leave_the_topology() -> None:
    inputs = random_inputs()
    mesh, plain = extract_inputs(inputs), mesh_of_grid(inputs["sdf"].float().reshape(7, 7, 7))
    assert torch.equal(mesh.faces, plain.faces)
    assert float((6 * mesh.vertices - plain.vertices).abs().max()) > 0.05
    assert_closed_manifold(mesh)


@pytest.mark.parametrize("name", NAMES[2:])
def test_weights_count_in_proportion_only(name: str) -> None:
    inputs = random_inputs()
    scaled = extract_inputs({**inputs, name: 3.7 * inputs[name]})
    assert torch.allclose(scaled.vertices, extract_inputs(inputs).vertices, atol=1e-12)


def test_the_mesh_moves_with_the_grid() -> None:
    inputs = random_inputs()
    moved = extract_inputs({**inputs, "positions": inputs["positions"] @ turn() + 0.4})
    assert torch.allclose(moved.vertices, extract_inputs(inputs).vertices @ turn() + 0.4, atol=1e-12)


def test_a_quad_is_split_along_the_diagonal_with_the_greater_gammas() -> None:
    """Low gammas at every other cube of a chequered plane: no diagonal ends in them."""
    size = (4, 4, 2)
    positions = grid_positions(size)
    alpha, beta, _ = unit_weights(size)
    i, j, _ = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    gamma = torch.where((i + j) % 2 == 0, 0.1, 1.0).reshape(-1)
    mesh = extract(positions[:, 2] - 0.25, positions, size, alpha, beta, gamma, centred=False)
    corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
    longest = (corners - corners.roll(-1, 1)).norm(dim=-1).argmax(1)
    for face, k in zip(corners, longest.tolist(), strict=True):
        end = face[k, :2] + 1.5  # cube centres to cube numbers
        assert int(end.sum().round()) % 2 == 1


# Gradients.


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    inputs = random_inputs()
    pull = torch.randn(len(extract_inputs(inputs).vertices), 3, dtype=torch.float64)

    def value(tensor: Tensor) -> Tensor:
        mesh = extract_inputs({**inputs, name: tensor})
        return volume(mesh) + (pull * mesh.vertices).sum() / len(pull) + developability_loss(mesh)

    at = inputs[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at), at)
    for seed in range(3):
        direction = torch.randn(at.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        step = 1e-7 * direction
        numeric = (value(at.detach() + step) - value(at.detach() - step)) / 2e-7
        assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-5, abs=1e-8)


def test_the_gradient_of_a_spheres_volume_is_its_area() -> None:
    """Lowering the sdf by d everywhere moves the surface outwards by d."""
    positions = grid(24, torch.float64)
    sdf = sphere()(positions).requires_grad_()
    volume(extract(sdf, positions, (24,) * 3, *unit_weights((24,) * 3, torch.float64))).backward()
    assert sdf.grad is not None
    assert -float(sdf.grad.sum()) == pytest.approx(4 * np.pi * 0.35**2, rel=0.02)


def test_mesh_and_gradients_repeat_to_the_bit() -> None:
    torch.set_num_threads(4)

    def run() -> list[Tensor]:
        inputs = {name: x.float().requires_grad_() for name, x in random_inputs(24).items()}
        mesh = extract_inputs(inputs, 24)
        (mesh.vertices.square().sum() + developability_loss(mesh)).backward()
        return [mesh.vertices, mesh.faces, *(inputs[name].grad for name in NAMES)]  # type: ignore[list-item]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_mesh_and_gradients_and_repeats_them() -> None:
    def run(device: str) -> list[Tensor]:
        inputs = {name: x.to(device, torch.float32).requires_grad_() for name, x in random_inputs(24).items()}
        mesh = extract_inputs(inputs, 24)
        (mesh.vertices.square().sum() + developability_loss(mesh)).backward()
        return [mesh.faces, mesh.vertices, *(inputs[name].grad for name in NAMES)]  # type: ignore[list-item]

    cpu, first, second = run("cpu"), run("cuda"), run("cuda")
    assert torch.equal(first[0].cpu(), cpu[0])
    for a, b in zip(cpu[1:], first[1:], strict=True):
        assert torch.allclose(a, b.cpu(), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def samples(mesh: Isosurface, barycentric: Tensor) -> Tensor:
    return torch.einsum("sk,fkx->sfx", barycentric, mesh.vertices[mesh.faces]).reshape(-1, 3)


def edge_distance(mesh: Isosurface) -> float:
    """Mean distance of points on the edges of `box` from the mesh."""
    t = torch.linspace(-0.3, 0.3, 21)[1:-1]
    signs = torch.tensor([[-0.3, -0.3], [-0.3, 0.3], [0.3, -0.3], [0.3, 0.3]])
    along = torch.cat([t.repeat(4)[:, None], signs.repeat_interleave(len(t), 0)], 1)
    edges = torch.cat([along.roll(k, 1) for k in range(3)]) @ turn().T.float()
    steps = torch.tensor([(i, j, 6 - i - j) for i in range(7) for j in range(7 - i)]) / 6
    return float(torch.cdist(edges, samples(mesh, steps)).amin(1).mean())


def test_fitted_weights_sharpen_the_edges_of_a_cube() -> None:
    n, size = 16, (16, 16, 16)
    generator = torch.Generator().manual_seed(0)
    base = grid(n)
    raw = {"sdf": box(base), "positions": torch.zeros_like(base)}
    raw |= {name: torch.zeros_like(x) for name, x in zip(NAMES[2:], unit_weights(size), strict=True)}
    raw = {name: x.requires_grad_() for name, x in raw.items()}

    def current() -> Isosurface:
        positions = base + 0.45 / n * torch.tanh(raw["positions"])
        return extract(raw["sdf"], positions, size, *(1 + 0.9 * torch.tanh(raw[name]) for name in NAMES[2:]))

    with torch.no_grad():
        before = edge_distance(current())
    groups = [{"params": [x], "lr": 0.002 if name == "sdf" else 0.1} for name, x in raw.items()]
    optimizer = torch.optim.Adam(groups)
    for _ in range(50):
        optimizer.zero_grad()
        barycentric = torch.rand(4, 3, generator=generator) + 0.02
        box(samples(current(), barycentric / barycentric.sum(1, keepdim=True))).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert edge_distance(current()) < 0.5 * before
        assert float(volume(current())) == pytest.approx(0.6**3, rel=0.02)


# Regularisers.


def corner_cut(beta: Tensor) -> Isosurface:
    """One cube whose first corner is inside, its three crossings at unequal distances."""
    sdf = torch.ones(8, dtype=torch.float64)
    sdf[0], sdf[4], sdf[2], sdf[1] = -1.0, 1.0, 1.5, 2.0  # along x, y and z
    alpha, _, gamma = unit_weights((1, 1, 1), torch.float64)
    return extract(sdf, grid_positions((1, 1, 1), torch.float64), (1, 1, 1), alpha, beta[None], gamma)


def test_developability_loss_is_zero_where_weights_centre_the_vertex_among_its_crossings() -> None:
    """The weights that put it in the circumcentre: a^2 (b^2 + c^2 - a^2) for the crossing opposite the side a."""
    unit = torch.ones(12, dtype=torch.float64)
    plain = corner_cut(unit)
    edges = [int(e) for e in (case_tables(torch.device("cpu")).loops[0, 1] == 0).nonzero()[:, 0]]
    p = plain.crossings
    a, b, c = ((p[(k + 1) % 3] - p[(k + 2) % 3]).square().sum() for k in range(3))
    beta = unit.clone()
    beta[edges] = torch.stack([a * (b + c - a), b * (c + a - b), c * (a + b - c)])
    assert float(developability_loss(plain)) > 0.01
    assert float(developability_loss(corner_cut(beta))) < 1e-12


def test_developability_loss_of_a_plane_along_the_grid_is_that_of_its_weights() -> None:
    size = (4, 4, 4)
    positions = grid_positions(size)
    alpha, beta, gamma = unit_weights(size)
    height = positions[:, 2] - 0.3
    uneven = beta.clone()
    uneven[:, 8] = 2.0
    assert float(developability_loss(extract(height, positions, size, alpha, beta, gamma))) < 1e-6
    assert float(developability_loss(extract(height, positions, size, alpha, uneven, gamma))) > 0.05


def test_developability_loss_scales_with_length_and_has_finite_gradients() -> None:
    inputs = random_inputs()
    doubled = {**inputs, "positions": 2 * inputs["positions"]}
    once, twice = (developability_loss(extract_inputs(x)) for x in (inputs, doubled))
    assert float(twice) == pytest.approx(2 * float(once))
    at_vertex = torch.zeros(5, 5, 5)
    at_vertex[2, 2, 2] = -1e-30  # all crossings and vertices in one point
    leaf = at_vertex.requires_grad_()
    developability_loss(mesh_of_grid(leaf)).backward()
    assert leaf.grad is not None
    assert bool(torch.isfinite(leaf.grad).all())


def test_sign_change_loss_of_one_edge_is_two_cross_entropies() -> None:
    sdf = torch.full((3, 3, 3), 2.0)
    sdf[0, 0, 0] = -1.0  # three edges, each from -1 to 2
    expected = np.log1p(np.exp(1.0)) + np.log1p(np.exp(2.0))
    assert float(sign_change_loss(sdf.reshape(-1), (2, 2, 2))) == pytest.approx(expected, rel=1e-6)


def test_descending_the_sign_change_loss_removes_a_crumb() -> None:
    sdf = torch.full((5, 5, 5), 0.3)
    sdf[2, 2, 2] = -0.1
    leaf = sdf.clone().requires_grad_()
    sign_change_loss(leaf.reshape(-1), (4, 4, 4)).backward()
    assert leaf.grad is not None
    assert float(leaf.grad[2, 2, 2]) < 0  # descent raises it
    assert len(mesh_of_grid((leaf - leaf.grad).detach()).faces) == 0


# Refusals.


def test_tensors_of_another_grid_are_refused() -> None:
    positions = grid_positions((3, 3, 3))
    with pytest.raises(InputError, match="shapes"):
        extract(positions[:, 0], positions, (3, 3, 3), *unit_weights((3, 3, 2)))
    with pytest.raises(InputError, match="shapes"):
        extract(positions[:-1, 0], positions[:-1], (3, 3, 3), *unit_weights((3, 3, 3)))
