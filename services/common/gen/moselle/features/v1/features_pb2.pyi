from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_STATUS_UNSPECIFIED: _ClassVar[FeatureStatus]
    FEATURE_STATUS_FRESH: _ClassVar[FeatureStatus]
    FEATURE_STATUS_STALE: _ClassVar[FeatureStatus]
    FEATURE_STATUS_MISSING: _ClassVar[FeatureStatus]
FEATURE_STATUS_UNSPECIFIED: FeatureStatus
FEATURE_STATUS_FRESH: FeatureStatus
FEATURE_STATUS_STALE: FeatureStatus
FEATURE_STATUS_MISSING: FeatureStatus

class GetFeaturesRequest(_message.Message):
    __slots__ = ("entity_ids", "feature_set", "feature_set_version", "names", "max_staleness_seconds")
    ENTITY_IDS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    entity_ids: _containers.RepeatedScalarFieldContainer[str]
    feature_set: str
    feature_set_version: int
    names: _containers.RepeatedScalarFieldContainer[str]
    max_staleness_seconds: float
    def __init__(self, entity_ids: _Optional[_Iterable[str]] = ..., feature_set: _Optional[str] = ..., feature_set_version: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., max_staleness_seconds: _Optional[float] = ...) -> None: ...

class FeatureVector(_message.Message):
    __slots__ = ("entity_id", "status", "values", "event_time_micros", "staleness_seconds")
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    STALENESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    entity_id: str
    status: FeatureStatus
    values: _containers.RepeatedScalarFieldContainer[float]
    event_time_micros: int
    staleness_seconds: float
    def __init__(self, entity_id: _Optional[str] = ..., status: _Optional[_Union[FeatureStatus, str]] = ..., values: _Optional[_Iterable[float]] = ..., event_time_micros: _Optional[int] = ..., staleness_seconds: _Optional[float] = ...) -> None: ...

class GetFeaturesResponse(_message.Message):
    __slots__ = ("feature_set", "feature_set_version", "names", "step_seconds", "vectors")
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    STEP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    feature_set: str
    feature_set_version: int
    names: _containers.RepeatedScalarFieldContainer[str]
    step_seconds: int
    vectors: _containers.RepeatedCompositeFieldContainer[FeatureVector]
    def __init__(self, feature_set: _Optional[str] = ..., feature_set_version: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., step_seconds: _Optional[int] = ..., vectors: _Optional[_Iterable[_Union[FeatureVector, _Mapping]]] = ...) -> None: ...
