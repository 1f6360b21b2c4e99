"""Raspberry Pis. Their vcgencmd is a script."""

from __future__ import annotations

from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from tests.boards.tree import plant

PMIC = """\
   3V7_WL_SW_A current(0)=0.12199130A
     3V3_SYS_A current(1)=0.15224510A
     1V8_SYS_A current(2)=0.17273960A
    DDR_VDD2_A current(3)=0.11613570A
    DDR_VDDQ_A current(4)=0.02941200A
     1V1_SYS_A current(5)=0.21763240A
      0V8_SW_A current(6)=0.50748360A
    VDD_CORE_A current(7)=1.54489000A
     3V3_DAC_A current(17)=0.00000000A
     3V3_ADC_A current(18)=0.00018315A
     0V8_AON_A current(16)=0.00390720A
        HDMI_A current(22)=0.01709400A
   3V7_WL_SW_V volt(8)=3.60605200V
     3V3_SYS_V volt(9)=3.31931300V
     1V8_SYS_V volt(10)=1.79682400V
    DDR_VDD2_V volt(11)=1.10842400V
    DDR_VDDQ_V volt(12)=0.60549390V
     1V1_SYS_V volt(13)=1.10219700V
      0V8_SW_V volt(14)=0.80146440V
    VDD_CORE_V volt(15)=0.88725180V
     3V3_DAC_V volt(20)=3.31501500V
     3V3_ADC_V volt(21)=3.31684600V
     0V8_AON_V volt(19)=0.79882700V
        HDMI_V volt(23)=4.90440000V
       EXT5V_V volt(24)=4.87894000V
        BATT_V volt(25)=2.50512600V
"""
"""Of a real board (leukipp/touchkio#35); the sum over the rails is 3.507 W."""

PMIC_TOTAL_W = 3.507

NO_PMIC = 'error=1 error_msg="Command not registered"\n'
"""What a Raspberry Pi without these converters answers."""


def vcgencmd(pmic: str, throttled: str) -> str:
    return f"""\
#!/bin/sh
case "$1" in
pmic_read_adc) cat <<'END'
{pmic.rstrip()}
END
;;
get_throttled) echo throttled={throttled} ;;
measure_temp) echo "temp=52.3'C" ;;
measure_clock) echo "frequency(0)=2400033792" ;;
measure_volts) echo "volt=0.8872V" ;;
*) echo 'error=1 error_msg="Command not registered"' ; exit 255 ;;
esac
"""


def pi5(root: Path, *, pmic: str = PMIC, throttled: str = "0x0", with_vcgencmd: bool = True) -> BoardRoot:
    files = _pi(
        "Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b\0brcm,bcm2712\0", 1_500_000, 2_400_000
    )
    files |= {
        "sys/class/hwmon/hwmon2/name": "rp1_adc\n",
        "sys/class/hwmon/hwmon2/temp1_input": "54310\n",
        "sys/class/hwmon/hwmon3/name": "pwmfan\n",
        "sys/class/hwmon/hwmon3/fan1_input": "2987\n",
        "sys/class/hwmon/hwmon3/pwm1": "75\n",
    }
    for number, millivolt in enumerate((1480, 2536, 1486, 1500), 1):
        files[f"sys/class/hwmon/hwmon2/in{number}_input"] = f"{millivolt}\n"
    if with_vcgencmd:
        files["bin/vcgencmd"] = vcgencmd(pmic, throttled)
    plant(root, files)
    return BoardRoot(root)


def pi4(root: Path, *, throttled: str = "0x50005") -> BoardRoot:
    files = _pi("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b\0brcm,bcm2711\0", 600_000, 1_800_000)
    files["bin/vcgencmd"] = vcgencmd(NO_PMIC, throttled)
    plant(root, files)
    return BoardRoot(root)


def pi4_with_ina219(root: Path, *, shunt_uohm: int = 100_000) -> BoardRoot:
    """A Pi 4 whose supply somebody wired through an INA219: 4.94 W."""
    board = pi4(root)
    home = "sys/devices/platform/soc/fe804000.i2c/i2c-1/1-0040"
    plant(
        root,
        {
            f"{home}/name": "ina219\n",
            f"{home}/hwmon/hwmon2/name": "ina219\n",
            f"{home}/hwmon/hwmon2/in0_input": "95\n",
            f"{home}/hwmon/hwmon2/in1_input": "5200\n",
            f"{home}/hwmon/hwmon2/curr1_input": "950\n",
            f"{home}/hwmon/hwmon2/power1_input": "4940000\n",
            f"{home}/hwmon/hwmon2/shunt_resistor": f"{shunt_uohm}\n",
        },
        {
            "sys/class/hwmon/hwmon2": f"{home}/hwmon/hwmon2",
            "sys/bus/i2c/drivers/ina2xx/1-0040": home,
        },
    )
    return board


def _pi(model: str, compatible: str, frequency_khz: int, most_khz: int) -> dict[str, str]:
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": compatible,
        "proc/device-tree/serial-number": "c0ffee0123456789\0",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "52350\n",
        "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
        "sys/class/hwmon/hwmon0/temp1_input": "52350\n",
        "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
        f"{policy}/scaling_cur_freq": f"{frequency_khz}\n",
        f"{policy}/scaling_min_freq": f"{frequency_khz}\n",
        f"{policy}/scaling_max_freq": f"{most_khz}\n",
        f"{policy}/cpuinfo_max_freq": f"{most_khz}\n",
        f"{policy}/affected_cpus": "0 1 2 3\n",
        f"{policy}/scaling_governor": "ondemand\n",
        f"{policy}/scaling_available_governors": "conservative ondemand performance \n",
    }
