# SPDX-License-Identifier: Apache-2.0
# weft_test_on_all_kernels(NAME native-seconds command…): native.NAME here, guest61.NAME and guest612.NAME in the lab. An
# emulated machine is 10 to 30 times slower, and no more than one guest of each kernel runs at a time.
set(LAB_KERNELS 6.1 6.12)
set(LAB_SLOWER 12)

function(weft_test_on_all_kernels name seconds)
	# ctest kills at its limit, so that a test could not clean up: `timeout` comes first and asks
	math(EXPR limit "${seconds} + 40")
	add_test(NAME native.${name} COMMAND timeout --foreground --kill-after=30 ${seconds} ${ARGN})
	set_tests_properties(native.${name} PROPERTIES LABELS native TIMEOUT ${limit} SKIP_RETURN_CODE 77)
	math(EXPR guest_seconds "${seconds} * ${LAB_SLOWER}")
	math(EXPR limit "${guest_seconds} + 60")
	foreach(kernel ${LAB_KERNELS})
		string(REPLACE "." "" digits ${kernel})
		add_test(NAME guest${digits}.${name}
			COMMAND ${CMAKE_SOURCE_DIR}/tools/lab run --time ${guest_seconds} ${kernel} -- ${ARGN})
		set_tests_properties(guest${digits}.${name} PROPERTIES LABELS guest TIMEOUT ${limit} SKIP_RETURN_CODE 77
			RESOURCE_LOCK lab-${kernel})
	endforeach()
endfunction()
