/** To be imported before anything that takes memory: loading the modules alone makes V8 take 8 MB more than it needs. */
import { keepHeapSmall } from "./heap.js";

keepHeapSmall();
