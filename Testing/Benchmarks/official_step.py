"""The public code's pre-training step on unmodified MONAI modules, for comparison: see SSLHead in ssl_head.py.

Written from the description of Pretrain/main.py, models/ssl_head.py, losses/loss.py in
Project-MONAI/research-contributions, without ``.cuda``: two forward passes, all five feature maps normalised of which
four are dropped, full-resolution channels before the last 1x1 convolution, masks made anew at every stage.
"""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.official_views import official_cutout
from SwinSSLLib.settings import PretrainSettings, ViewSettings


class OfficialHead(nn.Module):
    """Encoder and heads; ``state_dict`` names as in :class:`SwinSSLLib.nets.heads.SSLNet` with ``vae``."""

    def __init__(self, settings: PretrainSettings) -> None:
        super().__init__()
        network = settings.network
        size, channels = network.feature_size, 16 * network.feature_size
        self.swinViT = SwinTransformer(
            in_chans=1,
            embed_dim=size,
            window_size=(7, 7, 7),
            patch_size=(2, 2, 2),
            depths=network.depths,
            num_heads=network.num_heads,
        )
        self.rotation_head = nn.Linear(channels, 4)
        self.contrast_head = nn.Linear(channels, settings.heads.contrast_channels)
        layers: list[nn.Module] = []
        for level in range(5):
            wide, narrow = channels >> level, max(channels >> (level + 1), channels // 16)
            layers += [nn.Conv3d(wide, narrow, 3, padding=1), nn.InstanceNorm3d(narrow), nn.LeakyReLU()]
            layers += [nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)]
        self.reconstruction_head = nn.Sequential(*layers, nn.Conv3d(channels // 16, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotation logits, embedding, reconstruction."""
        deepest = self.swinViT(x.contiguous())[4]
        _, channels, *_ = deepest.shape
        tokens = deepest.flatten(start_dim=2, end_dim=4).transpose(1, 2)
        rotation, embedding = self.rotation_head(tokens[:, 0]), self.contrast_head(tokens[:, 1])
        image = self.reconstruction_head(deepest.flatten(start_dim=2).view(-1, channels, *deepest.shape[2:]))
        return rotation, embedding, image


def official_views(x: Tensor, views: ViewSettings, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Corrupted, whole, turns: sample by sample, as utils/ops.py does."""
    turned, turns = x.clone(), draws.integers(0, 4, len(x))
    for number in range(len(x)):
        turned[number] = x[number].rot90(int(turns[number]), (2, 3))
    return official_cutout(turned, views, draws), turned, turns


def official_loss(
    first: tuple[Tensor, Tensor, Tensor],
    second: tuple[Tensor, Tensor, Tensor],
    whole: tuple[Tensor, Tensor],
    turns: Tensor,
    temperature: float,
) -> Tensor:
    """Sum of the three losses (losses/loss.py)."""
    rotation = F.cross_entropy(torch.cat([first[0], second[0]]), turns)
    left, right = F.normalize(first[1], dim=1), F.normalize(second[1], dim=1)
    count = len(left)
    embeddings = torch.cat([left, right])
    similarity = F.cosine_similarity(embeddings.unsqueeze(1), embeddings.unsqueeze(0), dim=2)
    positives = torch.cat([torch.diag(similarity, count), torch.diag(similarity, -count)])
    others = (~torch.eye(2 * count, dtype=torch.bool)).float() * torch.exp(similarity / temperature)
    contrast = torch.sum(-torch.log(torch.exp(positives / temperature) / others.sum(dim=1))) / (2 * count)
    reconstruction = F.l1_loss(torch.cat([first[2], second[2]]), torch.cat(whole))
    return rotation + contrast + reconstruction


def official_step(network: OfficialHead, sub_volumes: Tensor, settings: PretrainSettings, seed: int) -> Tensor:
    """Views, two passes, loss; the gradient is the caller's."""
    draws = Draws(seed, device=sub_volumes.device)
    seen, whole, turns = official_views(sub_volumes, settings.views, draws)
    seen2, whole2, turns2 = official_views(sub_volumes, settings.views, draws)
    outputs = network(seen), network(seen2)
    return official_loss(*outputs, (whole, whole2), torch.cat([turns, turns2]), settings.loss.temperature)
