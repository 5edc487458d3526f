from collections.abc import Iterator

import grpc

from services.common.gen.moselle.features.v1 import features_pb2

class OnlineFeaturesStub:
    def __init__(self, channel: grpc.Channel) -> None: ...
    GetFeatures: grpc.UnaryUnaryMultiCallable[features_pb2.GetFeaturesRequest, features_pb2.GetFeaturesResponse]

class OnlineFeaturesServicer:
    def GetFeatures(self, request: features_pb2.GetFeaturesRequest, context: grpc.ServicerContext) -> features_pb2.GetFeaturesResponse: ...

def add_OnlineFeaturesServicer_to_server(servicer: OnlineFeaturesServicer, server: grpc.Server) -> None: ...
