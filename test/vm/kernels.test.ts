import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findKernel, seriesToTest } from "./lib/kernel.js";
import { Vm } from "./lib/vm.js";

describe.each(seriesToTest())("kernel %s", (series) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await Vm.boot(findKernel(series));
  });
  afterAll(() => vm?.dispose());

  it("is the one that is wanted", async () => {
    console.log(vm.console, await vm.run(["sh", "-c", "uname -a; mount; dmesg | tail -20; free -m; time node -e 'console.log(1)'"]));
    expect(vm.release).toContain(series);
  });
});
