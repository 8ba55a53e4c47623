from loracast.flops._exact import Exact as Mao2025
