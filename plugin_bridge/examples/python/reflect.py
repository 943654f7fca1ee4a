"""Calls the daemon as grpcurl does: without our package and its proto, from what the daemon says of itself.

    python reflect.py 127.0.0.1:50551                                     lists what can be called
    python reflect.py 127.0.0.1:50551 GetStatus '{}'                      calls it; answers are JSON
    python reflect.py 127.0.0.1:50551 Generate '{"prompt": "warm pad"}'   a stream of answers

It needs grpcio and grpcio-reflection, as any program in any language needs its gRPC and no more of ours.
"""

import sys
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "acestep.v1.Daemon"


def service_of(channel: grpc.Channel) -> ServiceDescriptor:
    """The service as its server describes it."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    return pool.FindServiceByName(SERVICE)


def call(channel: grpc.Channel, method: MethodDescriptor, text: str) -> None:
    """Sends JSON, prints every answer as JSON."""
    request = json_format.Parse(text, GetMessageClass(method.input_type)())
    call: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    answers = call(
        f"/{SERVICE}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )(request)
    for answer in answers if method.server_streaming else [answers]:
        print(json_format.MessageToJson(answer, indent=None), flush=True)


def main(address: str, name: str = "", text: str = "{}") -> None:
    with grpc.insecure_channel(address) as channel:
        service = service_of(channel)
        if not name:
            for method in service.methods:
                print(method.name, method.input_type.name, "→", method.output_type.name)
        elif name not in service.methods_by_name:
            sys.exit(f"{SERVICE} has no {name}: leave it out to see what there is")
        elif service.methods_by_name[name].client_streaming:
            sys.exit(f"{name} takes a stream of messages, which this example does not send")
        else:
            call(channel, service.methods_by_name[name], text)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
