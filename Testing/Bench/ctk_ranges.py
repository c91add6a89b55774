"""CTK's widgets for a range: two numbers between two others."""
# ruff: noqa: N801, N815 - the names are CTK's

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .standin import StandIn


class _Range(StandIn, QtWidgets.QWidget):
    """Two numbers between two others."""

    _properties_ = _signals_ = _slots_ = _invokables_ = ""

    def _build(self) -> None:
        self._d.update(minimum=0.0, maximum=99.0, minimumValue=0.0, maximumValue=99.0, tracking=True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for name in ("low", "high"):
            self._d[name] = QtWidgets.QDoubleSpinBox(self)
            layout.addWidget(self._d[name], 1)
        self._show()
        self._d["low"].valueChanged.connect(self.setMinimumValue)
        self._d["high"].valueChanged.connect(self.setMaximumValue)

    def _show(self) -> None:
        for name, value in (("low", "minimumValue"), ("high", "maximumValue")):
            with QtCore.QSignalBlocker(self._d[name]):
                self._d[name].setRange(self._d["minimum"], self._d["maximum"])
                self._d[name].setValue(self._d[value])

    def setValues(self, low: float, high: float) -> None:
        low, high = float(min(low, high)), float(max(low, high))
        inside = [min(max(one, self._d["minimum"]), self._d["maximum"]) for one in (low, high)]
        before = self._d["minimumValue"], self._d["maximumValue"]
        self._d.update(minimumValue=inside[0], maximumValue=inside[1])
        self._show()
        if before[0] != inside[0]:
            self._changing("minimumValueIsChanging", inside[0])
            self.minimumValueChanged.emit(inside[0])
        if before[1] != inside[1]:
            self._changing("maximumValueIsChanging", inside[1])
            self.maximumValueChanged.emit(inside[1])
        if before != tuple(inside):
            self.valuesChanged.emit(*inside)

    def _changing(self, name: str, value: float) -> None:
        if hasattr(self, name):  # the slider alone has no such signal
            getattr(self, name).emit(value)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._d["maximumValue"]))

    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._d["minimumValue"]), value)

    _set_minimumValue, _set_maximumValue = setMinimumValue, setMaximumValue

    def setRange(self, low: float, high: float) -> None:
        before = self._d["minimum"], self._d["maximum"]
        self._d.update(minimum=min(low, high), maximum=max(low, high))
        self.setValues(self._d["minimumValue"], self._d["maximumValue"])
        self._show()
        if before != (self._d["minimum"], self._d["maximum"]):
            self.rangeChanged.emit(self._d["minimum"], self._d["maximum"])

    def _set_minimum(self, value: float) -> None:
        self.setRange(value, max(value, self._d["maximum"]))

    def _set_maximum(self, value: float) -> None:
        self.setRange(min(value, self._d["minimum"]), value)

    def reset(self) -> None:
        self.setValues(self._d["minimum"], self._d["maximum"])

    def _get_decimals(self) -> int:
        return self._d["low"].decimals()

    def _set_decimals(self, value: int) -> None:
        for name in ("low", "high"):
            self._d[name].setDecimals(value)


class ctkRangeWidget(_Range):
    """Two spin boxes and a slider between them."""

    _properties_ = """int decimals; double singleStep; double minimum; double maximum; double minimumValue;
        double maximumValue; QString prefix; QString suffix; double tickInterval; bool autoSpinBoxWidth;
        Qt::Alignment spinBoxTextAlignment; Qt::Alignment spinBoxAlignment; bool tracking; bool symmetricMoves;
        double customSpinBoxesLimitsMin (read-only); double customSpinBoxesLimitsMax (read-only)"""
    _signals_ = """minimumValueChanged(double); minimumValueIsChanging(double); maximumValueChanged(double);
        maximumValueIsChanging(double); valuesChanged(double, double); rangeChanged(double, double)"""
    _slots_ = "reset(); setMinimumValue(double); setMaximumValue(double); setValues(double, double); setDecimals(int)"
    _invokables_ = "setRange(double, double)"


class ctkDoubleRangeSlider(_Range):
    """Two handles on one slider; here two spin boxes."""

    _properties_ = """double minimum; double maximum; double minimumValue; double maximumValue; double minimumPosition;
        double maximumPosition; double singleStep; double tickInterval; QSlider::TickPosition tickPosition;
        bool tracking; Qt::Orientation orientation; bool symmetricMoves"""
    _signals_ = """minimumValueChanged(double); maximumValueChanged(double); minimumPositionChanged(double);
        maximumPositionChanged(double); valuesChanged(double, double); rangeChanged(double, double);
        positionsChanged(double, double); sliderPressed(); sliderReleased()"""
    _slots_ = "setMinimumValue(double); setMaximumValue(double); setValues(double, double)"
    _invokables_ = "setRange(double, double)"


WIDGETS = (ctkRangeWidget, ctkDoubleRangeSlider)
