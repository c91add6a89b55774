"""CTK's widgets for numbers: slider with spin box, spin box, double slider."""
# ruff: noqa: N801, N815 - the names are CTK's

from __future__ import annotations

import math

from PySide6 import QtCore, QtWidgets

from .standin import StandIn

#: Steps of the integer slider under a double one, at most.
STEPS = 1_000_000


class ctkDoubleSpinBox(StandIn, QtWidgets.QWidget):
    """A spin box for a double."""

    _values_ = "SetIfDifferent=0 SetAlways=1 FixedDecimals=0 DecimalsByShortcuts=1 DecimalsByKey=2"
    _properties_ = """Qt::Alignment alignment; bool frame; bool readOnly; QString prefix; QString suffix;
        QString cleanText (read-only); int decimals; DecimalsOptions decimalsOption; double minimum; double maximum;
        double singleStep; double value; SetMode setMode; bool invertedControls; SizeHintPolicy sizeHintPolicy;
        bool isSettingValue (read-only)"""
    _signals_ = "valueChanged(double); valueChanged(const QString &); editingFinished(); decimalsChanged(int)"
    _slots_ = """setValue(double); setValueIfDifferent(double); setValueAlways(double); stepUp(); stepDown();
        setDecimals(int); setReadOnly(bool)"""
    _invokables_ = ""
    _through_ = "box: alignment prefix suffix cleanText minimum maximum singleStep value"

    def _build(self) -> None:
        box = self._d["box"] = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box)
        box.valueChanged.connect(self._tell)
        box.editingFinished.connect(self.editingFinished)

    def _tell(self, value: float) -> None:
        self.valueChanged[float].emit(value)
        self.valueChanged[str].emit(self._d["box"].text())

    def setValue(self, value: float) -> None:
        self._d["box"].setValue(value)

    setValueIfDifferent = setValue

    def setValueAlways(self, value: float) -> None:
        before = self._d["box"].value()
        self._d["box"].setValue(value)
        if self._d["box"].value() == before:
            self._tell(before)

    def stepUp(self) -> None:
        self._d["box"].stepUp()

    def stepDown(self) -> None:
        self._d["box"].stepDown()

    def _get_decimals(self) -> int:
        return self._d["box"].decimals()

    def _set_decimals(self, value: int) -> None:
        if value != self._d["box"].decimals():
            self._d["box"].setDecimals(value)
            self.decimalsChanged.emit(value)

    def _get_frame(self) -> bool:
        return self._d["box"].hasFrame()

    def _set_frame(self, value: bool) -> None:
        self._d["box"].setFrame(value)

    def _get_readOnly(self) -> bool:
        return self._d["box"].isReadOnly()

    def _set_readOnly(self, value: bool) -> None:
        self._d["box"].setReadOnly(value)


class ctkDoubleSlider(StandIn, QtWidgets.QWidget):
    """A slider for a double."""

    _properties_ = """double value; double singleStep; double pageStep; double minimum; double maximum;
        double sliderPosition; bool tracking; bool invertedAppearance; bool invertedControls;
        Qt::Orientation orientation; QSlider::TickPosition tickPosition; double tickInterval; QString handleToolTip"""
    _signals_ = """valueChanged(double); valueIsChanging(double); sliderMoved(double); rangeChanged(double,double);
        sliderPressed(); sliderReleased()"""
    _slots_ = "setValue(double); setOrientation(Qt::Orientation)"
    _invokables_ = "setRange(double, double); isSliderDown()"
    _through_ = "slider: orientation tickPosition"

    def _build(self) -> None:
        self._d.update(value=0.0, minimum=0.0, maximum=100.0, singleStep=1.0, pageStep=10.0)
        slider = self._d["slider"] = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(slider)
        self._scale()
        slider.valueChanged.connect(self._moved)
        slider.sliderPressed.connect(self.sliderPressed)
        slider.sliderReleased.connect(self.sliderReleased)

    def _scale(self) -> None:
        """Give the integer slider as many places as there are steps."""
        low, high, step = self._d["minimum"], self._d["maximum"], self._d["singleStep"]
        span = high - low
        places = 0 if not span > 0 else 100
        if math.isfinite(span) and span > 0 and step > 0:
            places = min(STEPS, max(1, round(span / step)))
        with QtCore.QSignalBlocker(self._d["slider"]):
            self._d["slider"].setRange(0, places)
            self._d["slider"].setValue(self._place(self._d["value"]))

    def _place(self, value: float) -> int:
        span = self._d["maximum"] - self._d["minimum"]
        if not span > 0 or not math.isfinite(span):
            return 0
        return round((value - self._d["minimum"]) / span * self._d["slider"].maximum())

    def _moved(self, place: int) -> None:
        span = self._d["maximum"] - self._d["minimum"]
        if self._place(self._d["value"]) != place and math.isfinite(span):
            self.setValue(self._d["minimum"] + span * place / max(1, self._d["slider"].maximum()))

    def setValue(self, value: float) -> None:
        value = min(max(value, self._d["minimum"]), self._d["maximum"])
        if value == self._d["value"]:
            return
        self._d["value"] = value
        with QtCore.QSignalBlocker(self._d["slider"]):
            self._d["slider"].setValue(self._place(value))
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    _set_value = _set_sliderPosition = setValue

    def _get_sliderPosition(self) -> float:
        return self._d["value"]

    def setRange(self, low: float, high: float) -> None:
        before = self._d["minimum"], self._d["maximum"]
        self._d.update(minimum=low, maximum=max(low, high))
        self._scale()
        if before != (self._d["minimum"], self._d["maximum"]):
            self.rangeChanged.emit(self._d["minimum"], self._d["maximum"])
        self.setValue(self._d["value"])

    def _set_minimum(self, value: float) -> None:
        self.setRange(value, max(value, self._d["maximum"]))

    def _set_maximum(self, value: float) -> None:
        self.setRange(min(value, self._d["minimum"]), value)

    def _set_singleStep(self, value: float) -> None:
        self._d["singleStep"] = value
        self._scale()

    def isSliderDown(self) -> bool:
        return self._d["slider"].isSliderDown()


class ctkSliderWidget(StandIn, QtWidgets.QWidget):
    """A slider for a double with a spin box beside it."""

    _properties_ = """int decimals; double singleStep; double pageStep; double minimum; double maximum; double value;
        QString prefix; QString suffix; double tickInterval; QSlider::TickPosition tickPosition;
        SynchronizeSiblings synchronizeSiblings; Qt::Alignment spinBoxAlignment; bool tracking; bool spinBoxVisible;
        bool popupSlider; bool invertedAppearance; bool invertedControls"""
    _signals_ = "valueChanged(double); valueIsChanging(double); decimalsChanged(int)"
    _slots_ = "reset(); setValue(double); setSpinBoxVisible(bool); setDecimals(int)"
    _invokables_ = ""
    _through_ = "box: prefix suffix"

    def _build(self) -> None:
        slider = self._d["slider"] = ctkDoubleSlider(self)
        box = self._d["box"] = QtWidgets.QDoubleSpinBox(self)
        self._d["tracking"] = True
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(slider, 1)
        layout.addWidget(box)
        box.setRange(0.0, 100.0)
        slider.valueChanged.connect(self._from_slider)
        box.valueChanged.connect(self.setValue)

    def _from_slider(self, value: float) -> None:
        """The slider moved: to the nearest value that the spin box shows."""
        value = round(value, self._d["box"].decimals())
        with QtCore.QSignalBlocker(self._d["box"]):
            self._d["box"].setValue(value)
        if value != self._d.get("told", 0.0):
            self._d["told"] = value
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    def _get_value(self) -> float:
        return self._d["box"].value()

    def setValue(self, value: float) -> None:
        value = round(value, self._d["box"].decimals())
        self._d["slider"].setValue(value)
        self._from_slider(self._d["slider"].value)

    _set_value = setValue

    def reset(self) -> None:
        self.setValue(self._d["slider"].minimum)

    def _get_minimum(self) -> float:
        return self._d["slider"].minimum

    def _set_minimum(self, value: float) -> None:
        self._range(value, max(value, self.maximum))

    def _get_maximum(self) -> float:
        return self._d["slider"].maximum

    def _set_maximum(self, value: float) -> None:
        self._range(min(value, self.minimum), value)

    def _range(self, low: float, high: float) -> None:
        with QtCore.QSignalBlocker(self._d["box"]):
            self._d["box"].setRange(low, high)
        self._d["slider"].setRange(low, high)
        self._from_slider(self._d["slider"].value)

    def _get_singleStep(self) -> float:
        return self._d["slider"].singleStep

    def _set_singleStep(self, value: float) -> None:
        self._d["slider"].singleStep = value
        self._d["box"].setSingleStep(value)

    def _get_decimals(self) -> int:
        return self._d["box"].decimals()

    def _set_decimals(self, value: int) -> None:
        if value != self._d["box"].decimals():
            with QtCore.QSignalBlocker(self._d["box"]):
                self._d["box"].setDecimals(value)
            self.decimalsChanged.emit(value)

    def _get_spinBoxVisible(self) -> bool:
        return not self._d["box"].isHidden()

    def _set_spinBoxVisible(self, value: bool) -> None:
        self._d["box"].setVisible(value)


WIDGETS = (ctkDoubleSpinBox, ctkDoubleSlider, ctkSliderWidget)
