"""The five sections, top to bottom as the work flows."""

from __future__ import annotations

from SwinSSLPanel.sections.finetune import FinetuneSection
from SwinSSLPanel.sections.models import ModelsSection
from SwinSSLPanel.sections.pretrain import PretrainSection
from SwinSSLPanel.sections.segment import SegmentSection
from SwinSSLPanel.sections.setup import SetupSection

SECTIONS = (SetupSection, PretrainSection, FinetuneSection, SegmentSection, ModelsSection)
