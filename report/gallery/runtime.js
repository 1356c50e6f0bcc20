// What runs a network in a page: ONNX Runtime's WebAssembly build, bundled into dist/runtime.js (`npm run build`), where
// it is `Runtime`.  Its program itself is dist/runtime.wasm.gz; a page holds both.

export { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";
