"""Write models for tests of `matte`.

bright.onnx: alpha is 1 where the mean of the colours is above 0. same.onnx gives its input back.

    pip install onnx && python tests/post/files/make_onnx.py
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save

values = helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, 3, "height", "width"])
alpha = helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, "height", "width"])
zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
nodes = [
    helper.make_node("ReduceMean", ["values", "axes"], ["mean"], keepdims=1),
    helper.make_node("Greater", ["mean", "zero"], ["bright"]),
    helper.make_node("Cast", ["bright"], ["alpha"], to=TensorProto.FLOAT),
]
graph = helper.make_graph(nodes, "bright", [values], [alpha], [zero, axes])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
checker.check_model(model)
save(model, str(Path(__file__).with_name("bright.onnx")))

same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1, 3, "height", "width"])
identity = helper.make_node("Identity", ["values"], ["same"])
graph = helper.make_graph([identity], "same", [values], [same])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
save(model, str(Path(__file__).with_name("same.onnx")))
