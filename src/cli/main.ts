#!/usr/bin/env node
import { keepHeapSmall } from "./heap.js";

// Before anything else is loaded: that alone makes V8 take 8 MB more than it needs.
keepHeapSmall();
await import("./command-line.js");
